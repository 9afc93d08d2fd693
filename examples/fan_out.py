"""Fan-out by a spawn handler: an ordinary task, and who asks for it decides what it spawns.

In one terminal: ``hammerflow -A fan_out:app worker``; in another: ``python fan_out.py``.
A job that another system inserts may say the same in its arguments, under ``_spawn_config``.
"""

from collections.abc import Iterator

from hammerflow import Hammerflow, Signature, SpawnConfig, SpawnContext

app = Hammerflow("examples")

READINGS = [12.5, 13.0, 11.5, 14.0, 19.5, 18.0, 21.0, 20.5, 9.0, 8.5]
CHUNK = 4


@app.task
def load_dataset(name: str) -> int:
    """Its result, and its arguments, are what the handler gets."""
    return len(READINGS)


@app.task
def process_chunk(chunk: int, start: int, end: int) -> float:
    part = READINGS[start:end]
    return sum(part) / len(part)


@app.spawn_handler("dataset_processor")
def split(context: SpawnContext) -> Iterator[Signature]:
    size: int = context.result
    for chunk, start in enumerate(range(0, size, CHUNK)):
        yield process_chunk.s(chunk, start, min(start + CHUNK, size))


if __name__ == "__main__":
    config = SpawnConfig(
        handler="dataset_processor", max_spawn_count=20, operation_id="op-1",
        metadata={"unit": "celsius"},
    )  # fmt: skip
    job = load_dataset.apply_async(("ds-123",), spawn=config)
    print("readings:", job.get(timeout=30))
    for chunk, child in enumerate(job.children()):
        print(f"chunk {chunk}: mean {child.get(timeout=30):.2f}")

    inserted = load_dataset.delay("ds-124")  # without a configuration: no children
    inserted.wait(timeout=30)
    print("children without a handler:", len(inserted.children()))
