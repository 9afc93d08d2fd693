"""A batch: many calls as one thing, alone or as a node of a workflow.

In one terminal: ``hammerflow -A batch:app worker``; in another: ``python batch.py``.
"""

from hammerflow import Hammerflow, Workflow, current_job

app = Hammerflow("examples")

LETTERS = ["dear ada,", "Dear Grace,", "", "dear annie,"]


@app.task(max_attempts=1)
def correct(letter: str) -> str:
    if not letter:
        raise ValueError("an empty letter")
    return letter[0].upper() + letter[1:]


@app.task
def bind(letters: list[str | None]) -> str:
    return " ".join(letter or "(missing)" for letter in letters)


@app.task
def summarize() -> str:
    letters = list(current_job().inputs["letters"])
    return f"{len(letters)} letters, {sum(map(len, letters))} characters"


if __name__ == "__main__":
    calls = [correct.s(letter) for letter in LETTERS]
    collected = app.batch(calls, on_failure="collect", then=bind.s()).enqueue()
    print(collected.get(timeout=30))
    print(collected.then.get(timeout=30))
    status = collected.status()
    print(f"{status.status}, {status.success_rate:.0%} well; {[*status.errors.values()]}")

    good = app.batch(call for call, letter in zip(calls, LETTERS, strict=True) if letter)
    flow = Workflow("batch_workflow").add(good, name="letters").then(summarize.s())
    print(flow.enqueue().get(timeout=30)["summarize"])
