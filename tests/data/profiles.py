"""Files of users for the tests of their classes."""

from pathlib import Path


def write_users(data_path, name: str = "tiny", users: int = 40, absent=()) -> Path:
    """``<name>.user`` with ``shelf`` (of three), ``sex`` (of two), ``age`` (numbers) and ``same``, one for all."""
    lines = ["user_id:token\tshelf:token\tsex:token\tage:float\tsame:token"]
    for user in range(users):
        if user not in absent:
            lines.append(f"u{user}\t{('top', 'middle', 'low')[user % 3]}\t{'MF'[user % 2]}\t{20 + user}\tyes")
    path = Path(data_path) / name / f"{name}.user"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
