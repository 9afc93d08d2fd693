"""A job that spawns others: the images of an album, each in three sizes.

In one terminal: ``hammerflow -A spawner:app worker``; in another: ``python spawner.py``.
The children are born in the transaction that completes their parent: all of them, or none.
"""

from collections import Counter
from collections.abc import Iterator

from hammerflow import Hammerflow, Signature

app = Hammerflow("examples")

SIZES = {"thumbnail": 128, "medium": 800, "large": 2048}
ALBUMS = {"iceland": ["geyser.jpg", "glacier.jpg", "horses.jpg", "puffin.jpg"]}


@app.task
def resize(image: str, size: str) -> str:
    name, _, ending = image.partition(".")
    return f"{name}-{SIZES[size]}.{ending}"


@app.spawner(max_spawn_count=500)
def publish_album(album: str) -> Iterator[Signature]:
    for image in ALBUMS[album]:
        for size in SIZES:
            yield resize.s(image, size)


if __name__ == "__main__":
    album = publish_album.delay("iceland")
    album.wait(timeout=30)
    children = album.children()
    files = [child.get(timeout=30) for child in children]
    print(f"{len(files)} files, from {files[0]} to {files[-1]}")
    print("states:", dict(Counter(str(child.state) for child in children)))
    print("as a tree: hammerflow -A spawner:app spawn tree", album.id)
