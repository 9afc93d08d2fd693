"""Parallel jobs and one that waits for all of them.

In one terminal: ``hammerflow -A regions:app worker``; in another: ``python regions.py``.
"""

from hammerflow import FailurePolicy, Hammerflow, Workflow, current_job

app = Hammerflow("examples")

SALES = {
    "us-east": [120, 80, 45],
    "us-west": [60, 75],
    "eu-west": [90, 30, 30, 10],
    "ap-south": [210],
}


@app.task
def process_region(region: str) -> dict[str, int]:
    return {"orders": len(SALES[region]), "total": sum(SALES[region])}


@app.task
def create_summary(title: str) -> str:
    regions = current_job().inputs  # by the names of the nodes it waits for
    best = max(regions, key=lambda name: regions[name]["total"])
    total = sum(region["total"] for region in regions.values())
    orders = sum(region["orders"] for region in regions.values())
    return f"{title}: {orders} orders, {total} in all, most in {best}"


if __name__ == "__main__":
    flow = Workflow("parallel_processing", FailurePolicy.CONTINUE_ON_FAILURE)
    for region in SALES:
        flow.add(process_region.s(region), name=region)
    flow.add(create_summary.s("today"), after=[*SALES])
    result = flow.enqueue()
    print(result.get(timeout=30)["create_summary"])
    print(result.graph("text"))
