"""Whether a sentence only asks, or makes what it names depend on something: a policy sees neither answer nor condition.

"is the drawer open?", "if the lamp is on, open the drawer"            nothing is to be done now
"could you open the drawer", "open the drawer if you don't mind"       a task
"""

import re

QUESTION = r"""
    ^ (?: (?: please | hey | robot | so | well | and ) \b [\s,]* )* (?:
        (?: is | isn't | are | aren't | was | wasn't | were | weren't | does | doesn't | did | didn't | has | hasn't
          | have | haven't | had | hadn't ) 
        \b (?! \s+ (?: it \s+ possible | there \s+ (?:any|a) \s+ (?:chance|way) | you \s+ able | you \s+ willing ) )
      | (?: can | could | do ) \s+ you \s+ (?: see (?! \s+ (?:to|that) \b) | tell | know | think | remember )
      | where | who | whose | how \s+ (?: many | much | far | long | often ) | should \s+ (?:i|we)
      | how \s+ (?: do | did | can | should ) \s+ (?:i|we|you) | why (?! \s+ (?: don't | not | do \s+ not ) \b )
      | which \s+ \w+ \s+ (?: is | are ) | what \s+ (?: colou?r | time | is | are )
    ) \b .* \? \s* $
  | ^ (?: (?: is | are | was | were | has | did | does ) \s+ the | (?: have | did ) \s+ you ) \b
  | ^ (?:please\s+)? tell \s+ me \s+ (?: whether | if ) \b
  | ^ (?: can | could | do ) \s+ you \s+ (?: see (?! \s+ (?:to|that) \b) | tell | know | think | remember ) \b
"""
CONDITION = r"""
    \b if \b (?! \s+ (?: possible | needed | necessary | you (?:'d|\s+would)? \s+ (?:
        please | like | want | wish | can | could | are \s+ able | be \s+ so \s+ kind
      | (?: do \s+ not | don't | wouldn't ) \s+ mind ) ) )
  | \b (?: unless | whenever | in \s+ case | provided \s+ that | supposing | depending \s+ on )
  | \b when \b (?! \s+ (?: that | this | it | you | you've | everything | all | done | finished | possible ) \b )
"""


def asks_or_supposes(text: str) -> str:
    """ "asks something" or "depends on something", "" where it is neither."""
    text = " ".join(text.lower().replace("\u2019", "'").split())
    if re.search(QUESTION, text, re.VERBOSE):
        return "asks something, which a policy cannot answer"
    return "depends on something, which a policy does not check" if re.search(CONDITION, text, re.VERBOSE) else ""
