"""Failure policies: what becomes of the rest when one job of a workflow fails.

In one terminal: ``hammerflow -A failure_policies:app worker``; in another:
``python failure_policies.py``.
"""

import time

from hammerflow import FailurePolicy, Hammerflow, Workflow, WorkflowResult, WorkflowStatus

app = Hammerflow("examples")


@app.task(max_attempts=1)
def risky() -> None:
    raise OSError("the disk is full")


@app.task
def step(name: str) -> str:
    return name


def pipeline(policy: FailurePolicy) -> Workflow:
    """start -> risky -> dependent, and beside it start -> slow -> independent."""
    flow = Workflow("pipeline", policy).add(step.s("start"), name="start")
    slow = step.s("slow").set(delay=2)  # once start has completed
    flow.then(slow, name="slow").then(step.s("on"), name="independent")
    return flow.add(risky.s(), name="risky", after="start").then(step.s("x"), name="dependent")


def states(result: WorkflowResult) -> str:
    names = ("risky", "dependent", "slow", "independent")
    return ", ".join(f"{name} {result.result(name).state}" for name in names)


if __name__ == "__main__":
    for policy in (FailurePolicy.FAIL_FAST, FailurePolicy.CONTINUE_ON_FAILURE):
        result = pipeline(policy).enqueue()
        print(f"{policy}: {result.wait(timeout=30)}")
        print(" ", states(result))

    result = pipeline(FailurePolicy.MANUAL).enqueue()
    while result.status() is not WorkflowStatus.PAUSED:
        time.sleep(0.1)
    print(f"manual: {result.status()}; {next(iter(result.errors().values()))}")
    result.skip("risky", by="ada")  # or .retry(), .resume(), .cancel()
    print("after skip():", result.wait(timeout=30))
    print(" ", states(result))
