"""What is in bags, and what training would learn wrongly: `python -m policy.check`.

    python -m policy.check bags                              topics, types, rates, clocks, joints, pictures, words
    python -m policy.check bags --suggest --out robot.yaml   a contract written from them, to be edited
    python -m policy.check bags --contract robot.yaml        reads them as training does: what is wrong, what to do

Exit code 2 where training would refuse: an error would be learned. Warnings are printed, and the code is 0. With
`--skip-bad`, which `policy.train` knows too, bags with an error are left out by name.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from policy import folders
from policy.data.bag_check import CheckedBag, check_bag
from policy.data.check_sentences import check_sentences
from policy.data.contents import Contents, Topic
from policy.data.contents_table import layout, summary, table, texts
from policy.data.findings import Finding, errors, merge
from policy.data.progress import Progress
from policy.data.sources import find, passed_over
from policy.data.suggestion import suggest
from policy.errors import InputError, exit_code
from policy.robot import contract as contracts
from policy.robot.contract import Contract
from policy.running.text import Text


def describe(bags: Path) -> None:
    """Print what each bag holds, as it is read; `InputError` if none can be read."""
    layouts: dict[object, str] = {}
    for name, found in _contents(bags):
        same = layouts.setdefault(layout(found), name)
        if same == name:
            print(f"{name}: {summary(found)}\n{table(found)}", flush=True)
        else:
            print("; ".join(filter(None, (f"{name}: as {same}", summary(found), texts(found)))), flush=True)
    for finding in passed_over(bags):
        print(f"{finding.severity}: {finding}")


def check(bags: Path, contract: Contract, skip_bad: bool = False) -> None:
    """Print what is wrong with bags, as they are read; `InputError` where training would refuse them."""
    checked: list[CheckedBag] = []
    for stored in find(bags):
        with Progress(stored.name) as progress:
            checked.append(check_bag(stored, contract, progress.at))
        print(_line(checked[-1]), flush=True)
    found = [(one.name, finding) for one in checked for finding in one.findings]
    found += check_sentences({one.name: one.instructions for one in checked}, Text().read)
    merged = [*merge(found), *passed_over(bags)]
    for finding in merged:
        print(finding.paragraph())
    bad = sorted({name for name, finding in found if finding.severity == "error"})
    used = [one for one in checked if one.name not in bad] if skip_bad else checked
    print(_total(used, merged))
    if bad and skip_bad:
        print(f"left out: {', '.join(bad)}")
    if bad and skip_bad and not used:
        raise InputError(
            f"none of {len(checked)} bags is left; mend what is named above, or give the contract of the robot that "
            "recorded them with --contract"
        )
    if bad and not skip_bad:
        raise InputError(
            f"{len(bad)} of {len(checked)} bags would be learned wrongly ({', '.join(bad)}); mend what is named above, "
            "or leave them out with --skip-bad"
        )


def _line(one: CheckedBag) -> str:
    count = Counter(finding.severity for finding in one.findings)
    found = ", ".join(_count(n, severity) for severity, n in sorted(count.items())) or "nothing found"
    return f"{one.name}: {_count(one.frames, 'frame')}, {_count(len(one.instructions), 'episode')}; {found}"


def _total(used: list[CheckedBag], findings: list[Finding]) -> str:
    episodes, frames = sum(len(one.instructions) for one in used), sum(one.frames for one in used)
    sentences = {text for one in used for text in one.instructions}
    minutes, wrong = sum(one.seconds for one in used) / 60, len(errors(findings))
    return (
        f"\n{_count(len(used), 'bag')}, {_count(frames, 'frame')} in {_count(episodes, 'episode')}, {minutes:.1f} "
        f"minutes, {_count(len(sentences), 'instruction')}; {_count(wrong, 'error')}, "
        f"{_count(len(findings) - wrong, 'warning')}"
    )


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _contents(bags: Path) -> Iterator[tuple[str, Contents]]:
    """Name and contents of each bag that can be read; `InputError` if none can."""
    readable = False
    for stored in find(bags):
        with Progress(stored.name, stored.size) as progress:
            try:
                found = stored.contents(progress.add)
            except InputError as error:
                progress.print(f"{stored.name}: cannot be read: {error}")
                continue
        readable = True
        yield stored.name, found
    if not readable:
        raise InputError(f"none of the bags in {bags} can be read; record others")


def _suggest(bags: Path, out: Path | None) -> None:
    """Write a contract; `InputError` where there is a file already."""
    if out is not None and out.exists():
        raise InputError(f"{out} exists; give another file with --out, or take it away")
    if out is not None:
        folders.require(out.parent)
    topics: dict[str, Topic] = {}
    for _, found in _contents(bags):
        for name, topic in found.topics.items():
            if topics.setdefault(name, topic) is not topic:
                topics[name].merge(topic)
    text = suggest(topics)
    if out is None:
        print(text, end="")
        return
    folders.make(out.parent)
    part = out.with_name(f".{out.name}.part")
    try:
        part.write_text(text)
        part.rename(out)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(f"cannot write {out} ({error.strerror or error}); free space or give another --out") from None
    print(f"{out}: edit what is marked GUESSED, then `python -m policy.check {bags} --contract {out}`")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m policy.check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bags", type=Path, help="folder of rosbag2 recordings or LeRobot data sets, or one")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--contract", help="check against it: a name in policy/contracts, or a YAML file")
    how.add_argument("--suggest", action="store_true", help="write a contract from the bags")
    parser.add_argument(
        "--out", type=Path, help="with --suggest: the file for the contract; standard output by default"
    )
    parser.add_argument("--skip-bad", action="store_true", help="with --contract: leave out bags that cannot be used")
    args = parser.parse_args()
    if (args.out and not args.suggest) or (args.skip_bad and not args.contract):
        parser.error("--out belongs to --suggest, --skip-bad to --contract")
    if args.contract:
        check(args.bags, contracts.load(args.contract), args.skip_bad)
    elif args.suggest:
        _suggest(args.bags, args.out)
    else:
        describe(args.bags)


if __name__ == "__main__":
    sys.exit(exit_code(main))
