"""What keeps memory where it is: shared budgets, and class lists that are forgotten."""

import asyncio
import json

import pytest

from cocoop.web.limits import Budget, Budgets, Limits


def test_who_asks_for_more_than_is_left_waits():
    async def share():
        budget, order = Budget(10), []

        async def take(name, amount, until=None):
            async with budget.taken(amount):
                order.append(name)
                if until is not None:
                    await until.wait()

        first = asyncio.Event()
        tasks = [asyncio.create_task(take("seven", 7, first))]
        await asyncio.sleep(0)
        tasks += [asyncio.create_task(take(name, n)) for name, n in (("five", 5), ("gone", 6), ("all", 99), ("two", 2))]
        await asyncio.sleep(0.01)
        assert order == ["seven", "two"]
        tasks[2].cancel()
        first.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert sorted(order[2:]) == ["all", "five"] and budget.left == 10

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01), budget.taken(10), budget.taken(1):
                pass
        assert budget.left == 10

    asyncio.run(share())


def test_an_upload_counts_for_what_it_says_or_for_all_it_may_be():
    budgets = Budgets(Limits(upload=10**6))
    assert [budgets.of_upload(size) for size in (None, 5, 500_000)] == [10**6, 2**16, 500_000]
    assert budgets.uploads.amount == 4 * 10**6


def test_only_the_last_class_lists_are_kept(client, served, monkeypatch):
    models = client.app.state.services.models
    monkeypatch.setattr(models, "most_classes", 2)  # 4 lists of them in 3 ways
    own = {key for key in models._predictors if key[1] is None}
    files = {"image": ("a.png", served.paths[0].read_bytes())}
    for number in range(14):
        sent = {"classes": json.dumps([f"a{number}", f"b{number}"])}
        assert client.post("/predict", files=files, data=sent).status_code == 200
    kept = {key[1] for key in models._predictors if key[1] is not None}
    assert kept == {(f"a{number}", f"b{number}") for number in range(2, 14)}
    assert own <= models._predictors.keys()
