"""A hash that says whether two runs ranked the same targets."""

import hashlib
import json


def target_pairs_hash(split, target: str | None = None) -> str:
    """Return the sha256 of a split's pairs of user and target, the same in any order and numbering.

    It is that of the sorted lines ``["user", "item"]``, JSON of the tokens with ASCII characters alone, joined by line
    ends.

    Args:
        split: the split, whose targets are in its column of items.
        target: field whose values the targets are; items when left out.
    """
    fields = {split.uid_field: split.uid_field, split.iid_field: target or split.iid_field}
    users, items = (split.id2token(of, split.inter_feat[at].numpy()).tolist() for at, of in fields.items())
    lines = sorted(json.dumps([str(user), str(item)]) for user, item in zip(users, items, strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
