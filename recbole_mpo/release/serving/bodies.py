"""The JSON bodies of requests and answers: what the API's description shows, and what is checked before a model runs.

Kinds are strict: ``"10"`` is not a number and ``7`` is not a token. Unknown names are refused, since a misspelt filter
would otherwise recommend everything.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from recbole_mpo.release.new_items import NewText
from recbole_mpo.release.serving.limits import Limits, RequestError, check_length
from recbole_mpo.release.serving.served_model import NewItems, Wish

# Names of the two kinds of entries; they begin with a character that tells them from places in a body.
TOKEN, TEXT = "<token>", "<text>"


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class TextEntry(_Strict):
    """An item of a history that the model does not have, by its text."""

    text: Annotated[str, Field(min_length=1)]


def _kind_of(entry) -> str | None:
    if isinstance(entry, str):
        return TOKEN
    return TEXT if isinstance(entry, dict | TextEntry) else None


Token = Annotated[str, Field(min_length=1)]
Entry = Annotated[
    Annotated[Token, Tag(TOKEN)] | Annotated[TextEntry, Tag(TEXT)],
    Discriminator(
        _kind_of, custom_error_type="entry", custom_error_message='Entries are tokens as texts, or {{"text": "…"}}'
    ),
]


class Filter(_Strict):
    """Which items may be recommended; of two conditions both hold."""

    title_contains: Annotated[Token | None, Field(description="Part of the title, in any case.")] = None
    items: Annotated[list[Token] | None, Field(min_length=1, description="Tokens.")] = None


class RecommendBody(_Strict):
    """A request for recommendations."""

    history: Annotated[list[Entry], Field(min_length=1, description="Oldest first; the newest count most.")]
    k: Annotated[int, Field(ge=1)] = 10
    exclude: Annotated[list[Token], Field(description="Tokens not to recommend, next to those of the history.")] = []
    filter: Filter | None = None
    model: Annotated[str | None, Field(description="Name of a model; the first by default.")] = None
    why: Annotated[bool, Field(description="Whether the parts of the scores are computed.")] = True

    def as_wish(self, limits: Limits) -> Wish:
        """Return what the model is asked.

        Raises:
            RequestError: a part is larger than a limit.
        """
        check_length("history", self.history, limits.history)
        check_length("exclude", self.exclude, limits.tokens)
        wanted = self.filter or Filter()
        check_length("filter.items", wanted.items, limits.tokens)
        check_length("filter.title_contains", wanted.title_contains, limits.text_length, "characters")
        for place, entry in enumerate(self.history):
            if isinstance(entry, TextEntry):
                check_length(f"history.{place}.text", entry.text, limits.text_length, "characters")
        if self.k > limits.k:
            raise RequestError(422, "too_large", f"k is {self.k}; the most is {limits.k}", "k")
        history = tuple(entry if isinstance(entry, str) else NewText(entry.text) for entry in self.history)
        among = None if wanted.items is None else tuple(wanted.items)
        return Wish(history, self.k, tuple(self.exclude), wanted.title_contains, among, self.why)


class NewItem(_Strict):
    """An item to add."""

    item: Annotated[Token, Field(description="A token that the model does not have.")]
    text: Annotated[str, Field(min_length=1, description="What its title and description say.")]


class ItemsBody(_Strict):
    """Items to add."""

    items: Annotated[list[NewItem], Field(min_length=1)]
    model: Annotated[str | None, Field(description="Name of a model; the first by default.")] = None

    def as_new_items(self, limits: Limits) -> NewItems:
        """Return what the model is to add.

        Raises:
            RequestError: a part is larger than a limit, or a token stands twice.
        """
        check_length("items", self.items, limits.items_per_call)
        texts: dict[str, str] = {}
        for place, item in enumerate(self.items):
            check_length(f"items.{place}.item", item.item, limits.text_length, "characters")
            check_length(f"items.{place}.text", item.text, limits.text_length, "characters")
            if item.item in texts:
                raise RequestError(422, "invalid_request", f"{item.item!r} stands twice", f"items.{place}.item")
            texts[item.item] = item.text
        return NewItems(texts)


class RecommendedItem(BaseModel):
    """A recommended item."""

    item: str
    title: Annotated[str, Field(description="The item's text; empty if unknown.")]
    score: float
    why: Annotated[dict[str, float], Field(description="Parts of the score, which add up to it.")] = {}


class Recommendations(BaseModel):
    """Recommended items, best first."""

    items: list[RecommendedItem]
    model: str


class Item(BaseModel):
    """An item."""

    item: str
    title: str


class Items(BaseModel):
    """Items that were found."""

    items: list[Item]


class Added(BaseModel):
    """How many items were added, and how many there are now."""

    added: int
    items: int


class ModelInfo(BaseModel):
    """A served model."""

    name: str
    default: Annotated[bool, Field(description="Whether it answers requests that name no model.")]
    items: Annotated[int, Field(description="Items that are ranked.")]
    added: Annotated[int, Field(description="How many of them were added while serving.")]


class Models(BaseModel):
    """The served models."""

    models: list[ModelInfo]


class Health(BaseModel):
    """That the server answers."""

    status: str


class ErrorContent(BaseModel):
    """What is wrong with a request."""

    code: Annotated[str, Field(description="Kind of the error, for programs.")]
    message: Annotated[str, Field(description="What is wrong and what to do, for people.")]
    field: Annotated[str | None, Field(description="Place in the request, such as history.2.")] = None


class ErrorBody(BaseModel):
    """The answer to a request that cannot be answered."""

    error: ErrorContent
