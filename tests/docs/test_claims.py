"""``make claims``: its table, two of its claims, and a claim that is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from docs import claims


def test_the_page_shows_the_table() -> None:
    assert f"\n{claims.table()}\n" in claims.PAGE.read_text("utf-8"), (
        "python docs/claims.py --table writes it"
    )


def test_all_claims_together_take_less_than_half_an_hour() -> None:
    commands = {one.command: one.seconds for one in claims.claims()}
    assert 10 * 60 > sum(commands.values()) > 60


@pytest.mark.parametrize("name", ["the digits take", "published closed form of FusioNet"])
def test_a_quick_claim_holds_and_a_wrong_one_fails(name: str) -> None:
    (one,) = (one for one in claims.claims() if name in one.claim)
    printed = claims.run(one.command)
    assert one.check(printed) == (one.wanted, True)
    wrong = replace(one, expected=one.expected + 1)
    assert wrong.check(printed) == (one.wanted, False)
    assert replace(wrong, tolerance=1).check(printed)[1]
    assert one.check("") == ("not printed", False)


def test_a_command_that_fails_says_so() -> None:
    assert "exit code 2" in claims.run("archonsim run -a nothing -w nothing")
