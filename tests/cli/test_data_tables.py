"""Own tables of less usual forms, prepared by the command: no times, two encodings, ratings, odd ids and texts."""

from pathlib import Path

from recbole_mpo.cli import main as cli
from recbole_mpo.data.histories import read_dataset_histories


def test_sessions_without_times_keep_the_order_of_the_file(tmp_path, capsys):
    rows = [("s1", item) for item in "cabd"] + [("s2", item) for item in "dcba"]
    (tmp_path / "a.csv").write_text("session,item\n" + "".join(",".join(row) + "\n" for row in rows))
    arguments = ["--interactions=a.csv", "--user=session", "--item=item", "--order=file", "--k_core=0"]
    assert cli.main(["prepare", "sessions", *arguments]) == 0
    # Without texts a model of text would find nothing to read.
    assert "next: recbole-mpo run --model=UniSRec --item_input=id --dataset=sessions" in capsys.readouterr().out
    histories = read_dataset_histories("dataset", "sessions")
    assert "".join(histories.item_tokens[histories.items]) == "cabddcba"
    assert "The times are the numbers of the rows" in Path("dataset/sessions/README.md").read_text()


def test_two_tables_may_have_different_encodings_and_separators(tmp_path):
    (tmp_path / "a.csv").write_bytes("user;item;time\nJosé;é1;1\nJosé;é2;2\nJosé;é3;3\n".encode("latin-1"))
    (tmp_path / "b.csv").write_bytes("item,title\né1,Töpfe\n".encode())
    arguments = ["--interactions=a.csv", "--user=user", "--item=item", "--time=time", "--k_core=0"]
    arguments += ["--separator=;", "--encoding=latin-1", "--items=b.csv", "--text=title"]
    assert cli.main(["prepare", "two", *arguments, "--items_separator=,", "--items_encoding=utf-8"]) == 0
    assert "é1\tTöpfe.\n" in Path("dataset/two/two.text").read_text(encoding="utf-8")


def test_a_smallest_rating_drops_rows_before_anything_else(tmp_path, capsys):
    rows = [f"u,{item},{item},{rating}" for item, rating in enumerate([5, 2.5, 3, 4, "", 1])]
    (tmp_path / "a.csv").write_text("\n".join(["user,item,time,stars", *rows]) + "\n")
    arguments = ["--interactions=a.csv", "--user=user", "--item=item", "--time=time", "--k_core=0"]
    assert cli.main(["prepare", "rated", *arguments, "--min_rating=3", "--rating=stars"]) == 0
    assert "3  rows with a rating of at least 3 (3 dropped)" in capsys.readouterr().out


def test_what_was_read_differently_is_told_and_written_on_the_card(tmp_path, capsys):
    rows = ["u,1010.0,1", "u,1011,2", "u,1012,3"]
    (tmp_path / "a.csv").write_text("\n".join(["user,item,time", *rows]) + "\n")
    items = ["1010,,", "1010,Lamp,", "1010,Other lamp,", f"1011,Cup,{'x' * 2000}"]
    (tmp_path / "b.csv").write_text("\n".join(["item,title,story", *items]) + "\n")
    arguments = ["--interactions=a.csv", "--user=user", "--item=item", "--time=time", "--k_core=0"]
    assert cli.main(["prepare", "shop", *arguments, "--items=b.csv", "--text=title,story"]) == 0
    out, card = capsys.readouterr().out, Path("dataset/shop/README.md").read_text()
    for remark in (
        "1 ids of a.csv are written like 1010.0 and were read as 1010.",
        "1 records repeat an item with another text; the first text with a letter or digit was kept.",
        "1 values of 'story' have 2,000 or more characters and were left out.",
    ):
        assert f"{remark}\n" in out and f"- {remark}\n" in card
    assert "1010\tLamp.\n1011\tCup.\n1012\t\n" in Path("dataset/shop/shop.text").read_text()
