"""A hash that says whether two runs ranked the same targets."""

import hashlib
import json


def target_pairs_hash(split) -> str:
    """Return the sha256 of a split's pairs of user and target, the same in any order and numbering.

    It is that of the sorted lines ``["user", "item"]``, JSON of the tokens with ASCII characters alone, joined by line
    ends.
    """
    fields = (split.uid_field, split.iid_field)
    users, items = (split.id2token(field, split.inter_feat[field].numpy()).tolist() for field in fields)
    lines = sorted(json.dumps([str(user), str(item)]) for user, item in zip(users, items, strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
