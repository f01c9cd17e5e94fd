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
  | \b never \s+ mind \s+ (?: the\s+mess \b | (?:that|about) \b [^,;.]* [,;.] )
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
  | delay\w* | postpon\w+ | omit\w* | neglect\w* | beware | too\ (?:late|early)
  | unless | except\w* | exclud\w+ | instead | rather\ than | other\ than | apart\ from | all\ but | bad\ idea
  | (?: anything | everything | anywhere | any\ \w+ ) \s but | unnecessary | needless | wrong
  | leav\w+ | keep\w* | stay\w* | remain\w* | ignor\w+ | skip\w* | forget | spare | untouched | alone
  | hands\ off | hold\ off | hold\ back | steer\ clear
"""


STATES = r"(?:leav|keep|stay|remain)"  # words that negate, and also name a state that is to be: what follows is free


def negations(text: str) -> frozenset[tuple[str, str]]:
    """The words of a text that negate it, each with the word after it; empty where it asks for what it names.

    "get the lamp to stop shining" does not make "stop turning off the lamp" a request. After a word of `STATES`
    it is "".
    """
    text = " ".join(text.lower().split())
    for pattern, long in WRITTEN_OUT:
        text = re.sub(pattern, long, text)
    text = re.sub(ASKS, " ", text, flags=re.VERBOSE)
    found = re.findall(rf"\b({NEGATES})\b (?= (?:\W+(\w+))? )", text, flags=re.VERBOSE)
    return frozenset((word, "" if re.match(STATES, word) else after) for word, after in found)
