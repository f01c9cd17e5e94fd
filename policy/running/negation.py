"""Whether a sentence forbids what it names: no policy here is taught to leave something undone.

"don't open the drawer", "leave the drawer closed", "anything but the drawer"     negated
"don't forget to open the drawer", "why don't you open the drawer"               not negated
"""

import re

# Contracted forms, written out so that one word list does for all
WRITTEN_OUT = (
    (r"\u2019", "'"),
    (r"\b(?:can't|cannot|cant)\b", "can not"),
    (r"\b(?:won't|wont)\b", "will not"),
    (r"\bshan't\b", "shall not"),
    (r"\bain't\b", "is not"),
    (r"\b(do|does|did|is|are|was|were|could|should|would|must|need|has|have|might)(?:n't|nt)\b", r"\1 not"),
)
# A negation within these asks for the task all the same
ASKS = r"""
    \b (?:do\ not|never|not) \s+ (?:ever\s+)? (?:
        forget | hesitate | fail | omit | neglect | delay | wait (?!\s+(?:for|until)) | stop \s+ (?:until|before)
      | be \s+ (?:afraid|shy) | bother \s+ (?:me|asking)
    ) \b
  | \b why \s+ (?:do\s+)? not \b
  | \b if \s+ you \s+ (?:do|would) \s+ not \s+ mind \b
  | \b (?:do|would) \s+ you \s+ not \s+ mind \b | \b (?:do|would) \s+ not \s+ (?:you\s+)? mind \b
  | \b (?:can|could|will|would) \s+ not \s+ you \b
  | \b without \s+ (?:any\s+|further\s+|more\s+)? (?:delay|hesitation|hesitating|waiting|fail|ado|haste|hurry|rush) \b
  | \b no \s+ (?:problem|worries|rush|hurry|doubt|matter) \b
  | \b never \s+ mind \s+ (?:that|about|the\s+mess) \b
  | \b not \s+ only \b | \b nothing \s+ but \b
  | \b (?:is|are) \s+ not \s+ (?:\w+\s+)? yet \b
"""
NEGATES = r"""
    (?: do | does | did | is | are | was | were | can | could | should | would | will | must | need | may | has | have
      | shall | might ) \s not
  | not | never | no | none | nothing | nobody | neither | nor | nowhere | without | hardly | scarcely | lest
  | avoid\w* | refrain\w* | abstain\w* | refus\w+ | forbid\w* | forbidden | prohibit\w* | prevent\w* | resist\w*
  | desist | stop\w* | quit | cease | halt | cancel\w* | abort\w* | abandon\w* | undo | revert | disregard | decline
  | give\ up
  | unless | except\w* | exclud\w+ | instead | rather\ than | other\ than | apart\ from | all\ but | bad\ idea
  | (?: anything | everything | anywhere | any\ \w+ ) \s but | unnecessary | needless | wrong
  | leav\w+ | keep\w* | stay\w* | remain\w* | ignor\w+ | skip\w* | forget | spare | untouched | alone
  | hands\ off | hold\ off | hold\ back | steer\ clear
"""


def negations(text: str) -> frozenset[str]:
    """The words of a text that negate it; empty where it asks for what it names."""
    text = " ".join(text.lower().split())
    for pattern, long in WRITTEN_OUT:
        text = re.sub(pattern, long, text)
    text = re.sub(ASKS, " ", text, flags=re.VERBOSE)
    return frozenset(re.findall(rf"\b(?:{NEGATES})\b", text, flags=re.VERBOSE))
