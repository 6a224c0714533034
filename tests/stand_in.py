"""A recommender without a model, whose scores a test can compute, and a server in this process."""

import threading
import time
from contextlib import contextmanager

from recbole_mpo.release.recommend import Recommended
from recbole_mpo.release.serving.server import Place


class StandIn:
    """Scores an item by how many words its title shares with the history, and by its place.

    Attributes:
        calls: number of histories of each call of ``recommend``.
        gate: each call waits for it.
        broken: a text that no call may hold in a history.
        moments: how often it was asked for its state of a moment.
    """

    def __init__(self, count=20):
        self.titles = {f"i{number}": f"{'red' if number % 2 else 'blue'} lamp {number}" for number in range(count)}
        self.tokens = ["[PAD]", *self.titles]
        self.moments = 0
        self.calls, self.gate, self.broken = [], threading.Event(), "broken"
        self.gate.set()

    def parts(self, history, token):
        words = [self.titles[entry] if isinstance(entry, str) else entry.text for entry in history]
        shared = set(" ".join(words).split()) & set(self.titles[token].split())
        return {"text": float(len(shared)), "covisit": -self.tokens.index(token) / 1000}

    def recommend(self, histories, topk=10, exclude=(), among=None):
        self.calls.append(len(histories))
        assert self.gate.wait(20)
        return [self._best(history, topk, set(exclude), among) for history in histories]

    def _best(self, history, topk, exclude, among):
        texts = {entry.text for entry in history if not isinstance(entry, str)}
        assert self.broken not in texts
        candidates = set(self.titles if among is None else among) & set(self.titles)
        tokens = [token for token in candidates - exclude if token not in history]
        scored = sorted(((sum(self.parts(history, token).values()), token) for token in tokens), reverse=True)
        return [Recommended(token, score, self.titles[token]) for score, token in scored[:topk]]

    def explain_each(self, histories, tokens):
        pairs = zip(histories, tokens, strict=True)
        return [[self.parts(history, token) for token in row] for history, row in pairs]

    def add_items(self, texts):
        self.titles.update(texts)
        self.tokens += texts

    def as_of_now(self):
        self.moments += 1
        return self

    def titled(self, part, among=None):
        tokens = self.titles if among is None else [token for token in self.titles if token in among]
        return [token for token in tokens if part.lower() in self.titles[token].lower()]

    def search(self, query, limit=20):
        return [(token, title) for token, title in self.titles.items() if query.lower() in title.lower()][:limit]


@contextmanager
def serving(models, page=None, api_key=None):
    """Serve models in a thread, with a page other than the packaged one if it is given; yield the address."""
    import uvicorn

    from recbole_mpo.release.serving.app import make_app

    place = Place(port=0, api_key=api_key)
    with place.bind() as bound:
        app = make_app(models, api_key=api_key, is_local=True, page=page)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, args=([bound],))
        thread.start()
        while thread.is_alive() and not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join(30)
