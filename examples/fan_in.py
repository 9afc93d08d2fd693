"""Fan-out and fan-in: count words in many texts at once, then add up.

In one terminal: ``hammerflow -A fan_in:app worker``; in another: ``python fan_in.py``.
``total`` runs once, when every child has ended well, and gets their results in spawn order.
"""

from collections import Counter
from collections.abc import Iterator

from hammerflow import Hammerflow, Signature

app = Hammerflow("examples")

TEXTS = [
    "the hammer falls on the anvil",
    "the iron flows into the form",
    "hammer the iron while it is hot",
]


@app.task
def count_words(text: str) -> dict[str, int]:
    return dict(Counter(text.split()))


@app.task
def total(counts: list[dict[str, int]], top: int) -> list[tuple[str, int]]:
    words: Counter[str] = Counter()
    for count in counts:
        words.update(count)
    return words.most_common(top)


@app.spawner(then=total.s(top=3))
def count_all(texts: list[str]) -> Iterator[Signature]:
    for text in texts:
        yield count_words.s(text)


if __name__ == "__main__":
    job = count_all.delay(TEXTS)
    job.wait(timeout=30)
    *_, fan_in = job.children()  # the fan-in comes last
    print("most frequent:", fan_in.get(timeout=30))
