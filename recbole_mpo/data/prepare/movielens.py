"""MovieLens 1M and 20M, from GroupLens' own files.

Source: Harper and Konstan, "The MovieLens Datasets: History and Context", ACM TiiS 5(4), 2015.
"""

import re
from pathlib import Path

from recbole_mpo.data.prepare.item_texts import FirstTexts
from recbole_mpo.data.prepare.ml100k import sentence
from recbole_mpo.data.prepare.prepared import Prepared
from recbole_mpo.data.prepare.raw_rows import Columns, read_interactions
from recbole_mpo.data.prepare.recipe import Recipe
from recbole_mpo.data.prepare.sources import Source
from recbole_mpo.data.prepare.table_files import Table

RATING_NAMES = ("userId", "movieId", "rating", "timestamp")
COLUMNS = Columns("userId", "movieId", "timestamp", rating="rating")
MOVIE_NAMES = ("movieId", "title", "genres")
NOTES = ("Ratings of any value are interactions.", "Text: title (year). Genres. It does not tell the plots.")
_YEAR_AT_END = re.compile(r"^(?P<title>.*\S)\s*\((?P<year>\d{4})\)\s*$")


def prepare_movielens(source: Source, ratings: Path, movies: Path, recipe: Recipe) -> Prepared:
    """Return ratings as interactions, and a sentence for each film.

    Raises:
        DataError: a file is missing or in another format, or no interaction is left.
    """
    interactions, _ = read_interactions(_table(ratings, RATING_NAMES), COLUMNS, recipe.min_rating)
    first = FirstTexts({})
    for block in _table(movies, MOVIE_NAMES).blocks(MOVIE_NAMES):
        for movie, title, genres in block.itertuples(index=False):
            first.add_text(movie, film_sentence(title or "", genres or ""))
    interactions = recipe.apply(interactions)
    texts = [first.kept.get(token, "") for token in interactions.item_tokens]
    return Prepared(source.name, interactions, texts, (ratings, movies), source, NOTES, {}, first.remarks())


def film_sentence(title: str, genres: str) -> str:
    """Turn ``Blue Angel, The (1930)`` and ``Drama|Romance`` into ``The Blue Angel (1930). Genres: Drama, Romance.``"""
    match = _YEAR_AT_END.match(title)
    name, year = (match["title"], match["year"]) if match else (title.strip(), "")
    return sentence(name, year, [genre for genre in genres.split("|") if genre not in ("", "(no genres listed)")])


def _table(path: Path, names: tuple[str, ...]) -> Table:
    if path.suffix == ".dat":  # the 1M release: no header, two colons between cells, Latin-1
        return Table(path, separator="::", encoding="latin-1", names=names)
    return Table(path)
