"""MovieLens in both of GroupLens' forms: every rating counts, and films are sentences."""

import pytest

from recbole_mpo.common.errors import DataError
from recbole_mpo.data.prepare.movielens import film_sentence, prepare_movielens
from recbole_mpo.data.prepare.recipe import Recipe
from recbole_mpo.data.prepare.sources import find_source

ONE_MILLION, TWENTY_MILLION = find_source("ml-1m"), find_source("ml-20m")
RATINGS = [(2, 10, 1, 978_300_003), (1, 20, 5, 978_300_002), (2, 20, 3, 978_300_001)]
FILMS = [(10, "Misérables, Les (1995)", "Drama|Musical"), (30, "Nobody's (1990)", "Comedy")]


def write(folder, form):
    """The two files in the form of the 1M (``dat``) or 20M (``csv``) release."""
    if form == "dat":
        contents = {"ratings": RATINGS, "movies": FILMS}
        lines = {name: ["::".join(map(str, row)) for row in rows] for name, rows in contents.items()}
    else:
        films = [(number, f'"{title}"', genres) for number, title, genres in FILMS]
        contents = {
            "ratings": [("userId", "movieId", "rating", "timestamp"), *RATINGS],
            "movies": [("movieId", "title", "genres"), *films],
        }
        lines = {name: [",".join(map(str, row)) for row in rows] for name, rows in contents.items()}
    for name, rows in lines.items():
        encoding = "latin-1" if form == "dat" else "utf-8"
        (folder / f"{name}.{form}").write_text("\n".join(rows) + "\n", encoding=encoding)
    return folder / f"ratings.{form}", folder / f"movies.{form}"


@pytest.mark.parametrize("source, form", [(ONE_MILLION, "dat"), (TWENTY_MILLION, "csv")])
def test_ratings_are_interactions_and_films_their_texts(tmp_path, source, form):
    prepared = prepare_movielens(source, *write(tmp_path, form), Recipe(0, 1))
    rows = prepared.interactions
    assert rows.user_tokens[rows.users].tolist() == ["2", "2", "1"]
    assert rows.item_tokens[rows.items].tolist() == ["20", "10", "20"]
    assert rows.times.tolist() == [978_300_001, 978_300_003, 978_300_002]
    # Film 20 has ratings and no title.
    assert dict(zip(rows.item_tokens, prepared.texts, strict=True)) == {
        "20": "",
        "10": "Les Misérables (1995). Genres: Drama, Musical.",
    }
    assert prepared.name == source.name


@pytest.mark.parametrize(
    "title, genres, sentence",
    [
        ("Blue Angel, The (1930)", "Drama|Romance", "The Blue Angel (1930). Genres: Drama, Romance."),
        ("2001: A Space Odyssey (1968) ", "(no genres listed)", "2001: A Space Odyssey (1968)."),
        ("Angel, The ", "Drama", "The Angel. Genres: Drama."),
        ("Cosmos", "", "Cosmos."),
        ("Seven (a.k.a. Se7en) (1995)", "Crime", "Seven (a.k.a. Se7en) (1995). Genres: Crime."),
    ],
)
def test_a_film_is_its_title_year_and_genres(title, genres, sentence):
    assert film_sentence(title, genres) == sentence


def test_a_missing_file_is_named(tmp_path):
    ratings, movies = write(tmp_path, "dat")
    movies.unlink()
    with pytest.raises(DataError, match=r"movies\.dat does not exist"):
        prepare_movielens(ONE_MILLION, ratings, movies, Recipe(0, 1))


def test_small_ratings_may_be_left_out(tmp_path):
    prepared = prepare_movielens(ONE_MILLION, *write(tmp_path, "dat"), Recipe(0, 1, min_rating=3))
    assert prepared.interactions.item_tokens.tolist() == ["20"] and len(prepared.interactions) == 2


def test_the_first_line_of_a_film_counts(tmp_path):
    ratings, movies = write(tmp_path, "dat")
    with open(movies, "a", encoding="latin-1") as file:
        file.write("10::Another (1996)::Drama\n")
    prepared = prepare_movielens(ONE_MILLION, ratings, movies, Recipe(0, 1))
    assert "Les Misérables (1995). Genres: Drama, Musical." in prepared.texts
    assert prepared.remarks[0].startswith("1 records repeat an item")
