"""Fan-out and fan-in in a workflow: split, process the parts at once, bring them together.

In one terminal: ``hammerflow -A fan_out_fan_in:app worker``; in another:
``python fan_out_fan_in.py``. Where the number of parts is known only to a job, let that be a
spawner and add it with ``wait_for_children=True``: what follows waits for its children, too.
"""

from collections.abc import Iterator

from hammerflow import Hammerflow, Signature, Workflow, current_job, group

app = Hammerflow("examples")


@app.task
def split_data(size: int) -> list[int]:
    return list(range(1, size + 1))


@app.task
def process_chunk(chunk: int, of: int) -> int:
    numbers = current_job().inputs["split_data"]
    return sum(n * n for n in numbers[chunk::of])


@app.task
def aggregate() -> int:
    return sum(current_job().inputs["process_chunk"])  # of a group: its results in order


@app.task
def mark(page: int) -> None: ...


@app.spawner
def crawl(pages: int) -> Iterator[Signature]:
    for page in range(pages):
        yield mark.s(page)


@app.task
def publish() -> str:
    return "published"


if __name__ == "__main__":
    parts = group(process_chunk.s(i, of=10) for i in range(10))
    flow = Workflow("fan_out_fan_in").add(split_data.s(1000)).then(parts).then(aggregate.s())
    print("sum of squares:", flow.enqueue().get(timeout=30)["aggregate"])

    site = Workflow("site").add(crawl.s(5), wait_for_children=True).then(publish.s()).enqueue()
    print(site.get(timeout=30)["publish"], "at the end of", site.stats().completed, "jobs")
