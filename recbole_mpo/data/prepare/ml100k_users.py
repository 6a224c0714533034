"""The users of MovieLens 100k: age, group of age, gender and occupation, from the copy inside the recbole package."""

from bisect import bisect_right
from pathlib import Path

from recbole_mpo.common.errors import DataError

_RECBOLES_HEADER = "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token"
USERS_HEADER = "user_id:token\tage:token\tage_group:token\tgender:token\toccupation:token"
# The groups of MovieLens 1M, whose users told no age.
_FIRST_AGES = (18, 25, 35, 45, 50, 56)
_GROUPS = ("under 18", "18-24", "25-34", "35-44", "45-49", "50-55", "56+")


def age_group(age: int) -> str:
    """Return the group of an age in years, as MovieLens 1M groups them."""
    return _GROUPS[bisect_right(_FIRST_AGES, age)]


def user_lines(content: str, source: Path) -> list[str]:
    """Return the lines of ``ml-100k.user``; zip codes are left out, which would tell who a user is.

    Args:
        content: RecBole's file.
        source: its path, for messages.

    Raises:
        DataError: the file has another format.
    """
    header, *lines = content.splitlines()
    if header != _RECBOLES_HEADER:
        raise DataError(f"{source}, line 1: expected the header {_RECBOLES_HEADER!r}; reinstall recbole==1.2.1")
    users = [USERS_HEADER]
    for number, line in enumerate(lines, start=2):
        fields = line.split("\t")
        if len(fields) != 5 or not fields[1].isdecimal():
            raise DataError(f"{source}, line {number}: expected 5 columns with an age in years, found {line!r}")
        user, age, gender, occupation, _ = fields
        users.append("\t".join((user, age, age_group(int(age)), gender, occupation)))
    return users
