"""prepare and inspect, as users call them: own tables, known names, no network, and a run on what is not there yet."""

import gzip
import json
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from recbole_mpo.cli import main as cli
from recbole_mpo.data.histories import read_dataset_histories
from recbole_mpo.data.prepare import download
from recbole_mpo.quick_start.record import read_record
from recbole_mpo.text.tfidf import TfidfSVDEncoder

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
WORDS = ["red", "blue", "green", "lamp", "table", "chair"]
QUICK = ["--epochs=1", "--hidden_size=16", "--inner_size=16", "--n_exps=2", "--text_encoder=tfidf-svd"]
QUICK.append("--use_gpu=False")


def rows_of(users=30, items=25, seed=0):
    """(user, item, milliseconds) of shops' customers, each with 8 purchases."""
    draw = np.random.default_rng(seed)
    return [
        (f"customer {user}", f"{item:04}", 1_600_000_000_000 + int(draw.integers(10**9)))
        for user in range(users)
        for item in draw.integers(0, items, 8)
    ]


def write_shop(folder):
    """A shop's own tables, with its own column names, as the README has them."""
    rows = rows_of()
    lines = ["customer,sku,when,price", *(f"{user},{item},{moment},9.90" for user, item, moment in rows)]
    (folder / "orders.csv").write_text("\n".join(lines) + "\n")
    draw = np.random.default_rng(1)
    products = [
        {"sku": f"{item:04}", "title": f"{draw.choice(WORDS)} thing {item}", "brand": str(draw.choice(WORDS)),
         "category": ["home", str(draw.choice(WORDS))]}
        for item in range(27)
    ]  # fmt: skip
    (folder / "products.jsonl").write_text("".join(json.dumps(product) + "\n" for product in products))


OWN = ["--interactions=orders.csv", "--user=customer", "--item=sku", "--time=when"]
TEXTS = ["--items=products.jsonl", "--text=title,brand,category"]


class TestOwnTables:
    def test_a_users_tables_go_to_recommendations_in_the_readmes_commands(self, tmp_path, monkeypatch, capsys):
        """The README's commands, run as written but for a shorter training and the names in it."""
        write_shop(tmp_path)
        section = README.split("## Your own shop")[1].split("\n## ")[0]
        block = re.findall(r"```bash\n(.*?)```", section, flags=re.DOTALL)[0]
        activate, prepare, train, recommend = [line for line in block.replace("\\\n", " ").splitlines() if line.strip()]
        assert activate == ". .venv/bin/activate" and prepare.startswith("recbole-mpo prepare shop ")
        assert cli.main(prepare.split()[1:]) == 0
        program, script, *arguments = train.split()
        assert (program, script) == ("python", "run_recbole_mpo.py")
        monkeypatch.setattr(sys, "argv", [script, *arguments, *QUICK, "--record=record.json"])
        with pytest.raises(SystemExit, match="0"):
            runpy.run_path(str(REPOSITORY / script), run_name="__main__")
        record = read_record(tmp_path / "record.json")
        assert record["status"] == "completed" and record["model"] == "MPORec"
        capsys.readouterr()
        for placeholder, name in {"RUN": record["run_id"], "SKU1": "0001", "SKU2": "0002"}.items():
            assert placeholder in recommend
            recommend = recommend.replace(placeholder, name)
        assert cli.main(recommend.split()[1:]) == 0
        assert capsys.readouterr().out.split("recommended:")[1].count(" thing ") == 5

    def test_what_was_dropped_and_the_statistics_are_printed(self, tmp_path, capsys):
        write_shop(tmp_path)
        with open(tmp_path / "orders.csv", "a") as file:
            file.write("customer 0,,5,1\nonce,0001,7,1\n")
        assert cli.main(["prepare", "shop", *OWN, *TEXTS, "--k_core=3"]) == 0
        out = capsys.readouterr().out
        assert re.search(r"241  rows with user, item and time \(1 dropped\)", out)
        assert re.search(r"240  3-core: .* \(1 dropped\)", out)
        assert "shop: 30 users, 25 items, 240 interactions, 8.00 interactions per user" in out
        assert "2 more items have text but no interactions" in out
        text = (tmp_path / "dataset/shop/shop.text").read_text()
        assert re.search(r"^0003\t\w+ thing 3\. \w+\. home \w+\.$", text, flags=re.M)

    def test_texts_may_stand_among_the_interactions(self, tmp_path):
        (tmp_path / "a.tsv").write_text("u\ti\tt\tname\n" + "".join(f"x\t{n}\t{n}\tItem {n}\n" for n in range(4)))
        arguments = ["--interactions=a.tsv", "--user=u", "--item=i", "--time=t", "--text=name", "--k_core=0"]
        assert cli.main(["prepare", "flat", *arguments]) == 0
        assert (tmp_path / "dataset/flat/flat.text").read_text().splitlines()[2] == "1\tItem 1."

    def test_without_items_there_are_ids_alone(self, tmp_path):
        write_shop(tmp_path)
        assert cli.main(["prepare", "ids", *OWN]) == 0
        assert not (tmp_path / "dataset/ids/ids.text").exists()
        run = ["run", "--model=UniSRec", "--dataset=ids", "--item_input=id", *QUICK]
        assert cli.main([argument for argument in run if "n_exps" not in argument]) == 0

    def test_texts_that_were_encoded_ahead_are_read_by_a_run(self, tmp_path, capsys, monkeypatch, failing):
        write_shop(tmp_path)
        assert cli.main(["prepare", "shop", *OWN, *TEXTS]) == 0
        assert cli.main(["encode", "--dataset=shop", "--text_encoder=tfidf-svd"]) == 0
        assert "features with tfidf-svd, stored in dataset/.cache/shop" in capsys.readouterr().out
        monkeypatch.setattr(TfidfSVDEncoder, "fit", None)
        assert cli.main(["run", "--model=MPORec", "--dataset=shop", *QUICK]) == 0
        said = failing("encode", "--dataset=shop", "--text_encoder=tfidf-svd", "--processes=2")
        assert "tfidf-svd is fitted to all texts at once" in said
        said = failing("encode", "--dataset=shop", "--text_encoder=minilm,tfidf-svd", "--processes=2")
        assert "tfidf-svd is fitted to all texts at once" in said
        assert not [*tmp_path.glob("dataset/.cache/shop/minilm*")]
        assert "none.text: cannot read the item texts" in failing(
            "encode", "--dataset=none", "--text_encoder=tfidf-svd"
        )

    @pytest.mark.parametrize("split", ["leave-one-out", "temporal"])
    def test_both_splits_train_and_recommend(self, tmp_path, split, capsys):
        write_shop(tmp_path)
        assert cli.main(["prepare", "shop", *OWN, *TEXTS, f"--split={split}", "--text_encoder=tfidf-svd"]) == 0
        assert cli.main(["run", "--model=MPORec", "--dataset=shop", *QUICK, "--record=r.json"]) == 0
        record = read_record("r.json")
        assert record["status"] == "completed"
        checkpoint = Path(record["config"]["checkpoint_dir"]) / record["run_id"] / "best.pth"
        assert cli.main(["recommend", f"--checkpoint={checkpoint}", "--items=0003,0007"]) == 0
        assert "thing" in capsys.readouterr().out

    def test_an_existing_dataset_is_left_unless_told(self, tmp_path, failing):
        write_shop(tmp_path)
        assert cli.main(["prepare", "shop", *OWN, *TEXTS]) == 0
        before = (tmp_path / "dataset/shop/shop.inter").read_bytes()
        assert "already holds a dataset" in failing("prepare", "shop", *OWN, "--k_core=2")
        assert (tmp_path / "dataset/shop/shop.inter").read_bytes() == before
        assert cli.main(["prepare", "shop", *OWN, "--layout=presplit", "--overwrite=true"]) == 0
        names = {path.name for path in (tmp_path / "dataset/shop").glob("*.inter")}
        assert names == {"shop.train.inter", "shop.valid.inter", "shop.test.inter"}

    @pytest.mark.parametrize(
        "arguments, message",
        [
            ([], "prepare takes the name of one dataset, found none"),
            (["a", "b"], "prepare takes the name of one dataset, found a b"),
            (["shop", "--intercations=a.csv"], r"no --intercations \(did you mean 'interactions'\?\)"),
            (["shop", "--user=a"], "--user describes your own table; give --interactions=FILE too"),
            (["shop", "--interactions=a.csv"], "needs --user=COLUMN"),
            (["shop", *OWN[:-1]], "needs --time=COLUMN .*, or --order=file if the rows are in order of time"),
            (["shop", *OWN, "--order=file"], "leave --time out, or give --order=time"),
            (["shop", *OWN, "--min_rating=3"], "--min_rating needs --rating too"),
            (["shop", *OWN, "--rating=price"], "--rating needs --min_rating too"),
            (["shop", *OWN, "--rating=price", "--min_rating=100"], "no row with a 'price' of at least 100"),
            (["shop", *OWN, "--rating=user", "--min_rating=3"], "no column 'user'"),
            (["shop", *OWN, "--items_encoding=latin-1"], "--items_encoding describes the table of items; give --items"),
            (["shop", *OWN, "--encoding=nope"], "encoding 'nope' is unknown"),
            (["shop", *OWN, "--separator=;;\n"], "cannot separate cells"),
            (["../shop", *OWN], "'../shop' is not the name of a dataset"),
            (["ml-100k", "--min_rating=3"], "--min_rating is not used with ml-100k"),
            (["shop", *OWN[:-1], "--time=wehn"], r"orders.csv has no column 'wehn' \(did you mean 'when'\?\)"),
            (["shop", *OWN, TEXTS[0]], "needs --text=COLUMN,COLUMN"),
            (["shop", *OWN, "--items=none.csv", "--text=title"], "none.csv does not exist"),
            (["shop", *OWN, TEXTS[0], "--text=titel"], r"no column 'titel' \(did you mean 'title'\?\)"),
            (["shop", *OWN, "--k_core=many"], "k_core must be a whole number"),
            (["shop", *OWN, "--k_core=500"], "none of the 240 interactions is left with k_core=500"),
            (["shop", *OWN, "--split_ratio=0.8,0.2"], "three positive numbers that sum to 1"),
            (["shop", *OWN, "--overwrite=perhaps"], "overwrite must be true or false"),
            (["Pantry", "--raw=nowhere"], "--raw=nowhere does not exist"),
            (["Pantri"], r"'Pantri' is not a known dataset \(did you mean 'Pantry'\?\).*--interactions=FILE"),
            (["Pantry", "--release=2023"], "'Pantry-2023' is not a known dataset"),
            (["Scientific-2023", "--release=2018"], "is from the 2023 release"),
            (["Pantry", "--source_url=here/there"], "--source_url=here/there is not an address"),
            (["shop", *OWN, "--text_encoder=nonsense/none"], "nonsense/none"),
            (["Pantry", "--release=2020"], "release is '2020'; choose one of 2018, 2023"),
            (["ml-100k", "--k_core=5"], "--k_core is not used with ml-100k"),
            (["both", "--domains=a,b", "--split=temporal"], "--split is not used with --domains"),
            (["shop", *OWN, "--release=2023"], "--release is not used with --interactions"),
            (["ml-1m"], "ratings.dat and movies.dat: download https://files.grouplens.org"),
            (["both", "--domains=one"], "two or more different datasets"),
        ],
    )
    def test_mistakes_are_told(self, tmp_path, failing, arguments, message):
        write_shop(tmp_path)
        assert re.search(message, failing("prepare", *arguments))
        assert not list(tmp_path.glob("dataset/*/*.inter"))

    def test_items_of_another_shop_are_refused(self, tmp_path, failing):
        write_shop(tmp_path)
        (tmp_path / "other.csv").write_text("sku,title\nx1,Lamp\n")
        message = failing("prepare", "shop", *OWN, "--items=other.csv", "--text=title")
        assert "none of the 25 items" in message and "'x1' in the other; give the right --item_column" in message


def serve_pantry(server):
    """Pantry's raw files on the local site, and a sources.yaml in ./properties that points to it."""
    draw = np.random.default_rng(2)
    reviews = [(item, user, int(draw.integers(1, 6)), moment // 1000) for user, item, moment in rows_of(seed=3)]
    metadata = [{"asin": f"{item:04}", "title": f"{WORDS[item % 6]} &amp; {item}", "brand": "B"} for item in range(25)]
    server.files["categoryFilesSmall/Prime_Pantry.csv"] = "".join(
        ",".join(map(str, row)) + "\n" for row in reviews
    ).encode()
    server.files["metaFiles2/meta_Prime_Pantry.json.gz"] = gzip.compress("\n".join(map(json.dumps, metadata)).encode())
    sources_at(server.address)


def sources_at(address):
    table = yaml.safe_load((REPOSITORY / "properties" / "sources.yaml").read_text())
    table["amazon-2018"]["addresses"] = [address]
    Path("properties").mkdir()
    Path("properties/sources.yaml").write_text(yaml.safe_dump(table))


class TestLargeData:
    """--engine, --output_format and what belongs to them."""

    PARQUET = ["--output_format=parquet", "--parts=3"]

    def test_both_engines_print_and_write_the_same(self, tmp_path, capsys):
        pytest.importorskip("duckdb", reason="needs the extra [scale]")
        write_shop(tmp_path)
        printed = []
        for engine in (["--engine=memory"], ["--engine=duckdb", "--memory_limit=600MB", "--threads=1"]):
            assert cli.main(["prepare", "shop", *OWN, *TEXTS, *self.PARQUET, *engine, "--overwrite"]) == 0
            shards = tmp_path / "dataset" / "shop" / "shop.shards"
            parts = {path.name: path.read_bytes() for path in shards.iterdir()}
            printed.append((capsys.readouterr().out, parts, (shards.parent / "shop.text").read_bytes()))
        assert printed[0] == printed[1] and len(printed[0][1]) == 5
        assert sorted(path.name for path in (tmp_path / "dataset").iterdir()) == ["shop"]

    @pytest.mark.parametrize(
        "arguments, message",
        [
            (["--parts=3"], "--parts is the number of Parquet files; give --output_format=parquet too"),
            (["--memory_limit=2GB"], "--memory_limit is for DuckDB; give --engine=duckdb too"),
            (["--threads=2"], "--threads is for DuckDB; give --engine=duckdb too"),
            (["--engine=duckdb", "--memory_limit=lots"], "memory_limit must be a size like 8GB or 500MB, not 'lots'"),
            (
                ["--engine=duckdb", "--layout=presplit"],
                "engine=duckdb writes whole histories, which a run splits; leave ",
            ),
            (
                [*PARQUET, "--split=temporal"],
                "output_format=parquet holds whole histories, which a run splits; leave --s",
            ),
            (["--categories=Beauty"], "--categories is for Amazon-2018-all; leave it out"),
        ],
    )
    def test_mistakes_are_told(self, tmp_path, failing, arguments, message):
        write_shop(tmp_path)
        assert failing("prepare", "shop", *OWN, *arguments).startswith(message)
        assert not (tmp_path / "dataset").exists()

    @pytest.mark.parametrize("name, option", [("both", "--domains=a,b"), ("ml-100k", "--data_path=dataset")])
    def test_what_is_small_has_no_engine(self, failing, name, option):
        what = name if name == "ml-100k" else "--domains"
        assert failing("prepare", name, option, "--engine=duckdb") == f"--engine is not used with {what}; leave it out"

    def test_a_run_does_not_prepare_all_of_amazon(self, failing):
        message = failing("run", "--model=MPORec", "--dataset=Amazon-2018-all", *QUICK)
        assert message == "Amazon-2018-all is too large for memory: prepare it with --engine=duckdb"


class TestKnownNames:
    RUN = ["run", "--model=MPORec", "--dataset=Pantry", *QUICK, "--record=record.json"]

    def test_a_run_prepares_what_is_not_there(self, raw_server, capsys):
        serve_pantry(raw_server)
        assert cli.main(self.RUN) == 0
        assert read_record("record.json")["status"] == "completed"
        out = capsys.readouterr().out
        assert "Pantry is not in dataset/; preparing it from its raw data first" in out
        note = json.loads(Path("dataset/.raw/Pantry/Prime_Pantry.csv.json").read_text())
        assert note["bytes"] == len(raw_server.files["categoryFilesSmall/Prime_Pantry.csv"])
        requests = len(raw_server.requests)
        assert cli.main(self.RUN) == 0 and len(raw_server.requests) == requests

    def test_looking_before_training_downloads_nothing(self, raw_server, failing):
        serve_pantry(raw_server)
        assert "or make the dataset: recbole-mpo prepare Pantry" in failing(*self.RUN, "--dry_run")
        assert not raw_server.requests

    def test_without_a_network_the_message_names_files_addresses_and_place(self, failing, monkeypatch):
        monkeypatch.setattr(download, "PAUSE_SECONDS", 0.0)
        sources_at("http://127.0.0.1:9")
        message = failing(*self.RUN)
        reviews, metadata = "categoryFilesSmall/Prime_Pantry.csv", "metaFiles2/meta_Prime_Pantry.json.gz"
        assert f"get http://127.0.0.1:9/{reviews} and http://127.0.0.1:9/{metadata} on another machine" in message
        assert "put the files into dataset/.raw/Pantry/" in message
        assert not Path("dataset/Pantry").exists()

    def test_local_files_and_another_address_replace_the_known_ones(self, raw_server, tmp_path):
        serve_pantry(raw_server)
        sources = yaml.safe_load(Path("properties/sources.yaml").read_text())
        assert sources["amazon-2018"]["addresses"] == [raw_server.address]
        Path("properties/sources.yaml").unlink()
        assert cli.main(["prepare", "Pantry", f"--source_url={raw_server.address}", "--data_path=a"]) == 0
        assert cli.main(["prepare", "Pantry", "--raw=a/.raw/Pantry", "--data_path=b"]) == 0
        files = [Path(folder, "Pantry/Pantry.inter").read_bytes() for folder in "ab"]
        assert files[0] == files[1]

    def test_counts_other_than_the_published_ones_are_warned_about(self, raw_server, caplog):
        serve_pantry(raw_server)
        assert cli.main(["prepare", "pantry"]) == 0
        assert "the published numbers are 13,101 / 4,898 / 126,962" in caplog.text

    def test_the_newer_release_has_a_name_of_its_own(self, raw_server):
        reviews = [
            {"user_id": user, "parent_asin": item, "rating": 5.0, "timestamp": moment}
            for user, item, moment in rows_of(seed=4)
        ]
        metadata = [{"parent_asin": f"{item:04}", "title": f"Thing {item}", "store": "S"} for item in range(25)]
        name = "Industrial_and_Scientific.jsonl.gz"
        for file, records in ((f"review_categories/{name}", reviews), (f"meta_categories/meta_{name}", metadata)):
            raw_server.files[f"raw/{file}"] = gzip.compress("\n".join(map(json.dumps, records)).encode())
        arguments = ["prepare", "Scientific", "--release=2023", "--k_core=0", f"--source_url={raw_server.address}"]
        assert cli.main(arguments) == 0
        assert len(read_dataset_histories("dataset", "Scientific-2023").items) == 240
        assert "Thing 3. S." in Path("dataset/Scientific-2023/Scientific-2023.text").read_text()

    def test_movielens_is_read_from_grouplens_files(self, tmp_path):
        folder = tmp_path / "unpacked" / "ml-1m"
        folder.mkdir(parents=True)
        rows = [f"{user}::{item}::5::{978300000 + item}" for user in range(1, 7) for item in range(1, 7)]
        (folder / "ratings.dat").write_text("\n".join(rows) + "\n")
        films = ["1::Misérables, Les (1995)::Drama|Musical", *(f"{n}::Film {n} (1990)::Comedy" for n in range(2, 7))]
        (folder / "movies.dat").write_text("\n".join(films) + "\n", encoding="latin-1")
        assert cli.main(["prepare", "ml-1m", "--raw=unpacked"]) == 0
        text = Path("dataset/ml-1m/ml-1m.text").read_text(encoding="utf-8").splitlines()
        assert text[1] == "1\tLes Misérables (1995). Genres: Drama, Musical."

    def test_domains_that_are_not_there_are_prepared_first(self, raw_server, tmp_path, make_dataset):
        serve_pantry(raw_server)
        make_dataset(tmp_path / "dataset", "tiny")
        assert cli.main(["prepare", "two", "--domains=tiny,Pantry"]) == 0
        assert (tmp_path / "dataset/two/two.pt_datasets").read_text() == "tiny,Pantry\n"


class TestInspect:
    def test_text_and_page_describe_the_dataset(self, tiny_path, tmp_path, capsys):
        text = tiny_path / "tiny" / "tiny.text"
        text.write_text(text.read_text().replace("\n", "\ncold\t<b>never</b> bought.\n", 1))
        assert cli.main(["inspect", "tiny", f"--data_path={tiny_path}", "--page=out/p.html", "--users=2"]) == 0
        out = capsys.readouterr().out
        found = read_dataset_histories(tiny_path, "tiny")
        assert re.search(rf"interactions +{len(found.items)}\n", out) and re.search(r"users +40\n", out)
        assert re.search(r"items in the text file without interactions +1\n", out)
        assert out.count(", the newest items") == 2 and "number" in out
        page = (tmp_path / "out/p.html").read_text()
        assert page.count("<h3>User") == 2 and "plotly" in page.lower()
        # It works offline: every script is in the page.
        assert not re.search(r"<script[^>]+src=", page)

    def test_titles_cannot_inject_markup(self, tmp_path):
        rows = "".join(f"x\t{n}\t{n}\t<script>alert({n})</script>\n" for n in range(4))
        (tmp_path / "a.tsv").write_text("u\ti\tt\tname\n" + rows)
        arguments = ["--interactions=a.tsv", "--user=u", "--item=i", "--time=t", "--text=name", "--k_core=0"]
        assert cli.main(["prepare", "flat", *arguments]) == 0 and cli.main(["inspect", "flat"]) == 0
        page = Path("flat.html").read_text()
        assert "&lt;script&gt;alert(3)" in page and "<script>alert(3)" not in page

    def test_scientifics_figures_are_the_papers(self, shared_data, capsys):
        assert cli.main(["inspect", "Scientific", f"--data_path={shared_data}"]) == 0
        out = capsys.readouterr().out
        for what, value in (("users", "8,442"), ("items", "4,385"), ("interactions", "59,427")):
            assert re.search(rf"^  {what} +{value}$", out, flags=re.M)
        assert re.search(r"interactions per user +7\.04\n", out)

    def test_columns_may_have_other_names(self, tiny_path, capsys):
        file = tiny_path / "tiny" / "tiny.inter"
        lines = file.read_text(encoding="utf-8").splitlines()
        assert cli.main(["inspect", "tiny", f"--data_path={tiny_path}", "--page=a.html"]) == 0
        expected = capsys.readouterr().out
        rows = [line.replace("\t", ";") for line in lines[1:]]
        file.write_text("\n".join(["customer:token;sku:token;when:float", *rows]) + "\n", encoding="utf-8")
        names = ["--USER_ID_FIELD=customer", "--ITEM_ID_FIELD=sku", "--TIME_FIELD=when", "--field-separator=;"]
        assert cli.main(["inspect", "tiny", f"--data_path={tiny_path}", "--page=a.html", *names]) == 0
        assert capsys.readouterr().out == expected

    def test_mistakes_are_told(self, failing, tiny_path):
        assert "inspect has no --html" in failing("inspect", "tiny", "--html=x")
        here = f"--data_path={tiny_path}"
        assert "encoding 'nope' is unknown" in failing("inspect", "tiny", here, "--encoding=nope")
        assert "'../tiny' is not the name of a dataset" in failing("inspect", "../tiny", here)
        assert "'item_id' has the type token" in failing("inspect", "tiny", here, "--TIME_FIELD=item_id")
        file = tiny_path / "tiny" / "tiny.inter"
        file.write_text(file.read_text().replace("timestamp:float", "timestamp:token"))
        assert "write timestamp:float in the header" in failing("inspect", "tiny", here)
        assert "'nothing' not found" in failing("inspect", "nothing", f"--data_path={tiny_path}")
