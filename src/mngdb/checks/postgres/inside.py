"""What the checks of things inside databases share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mngdb.errors import UnobservableError
from mngdb.facts.postgres import PostgresFacts
from mngdb.findings import Judgement, judged, not_applicable
from mngdb.words import many

_MOST = 5


def nowhere(
    question: str,
    fine: str,
    *,
    but_asked_for: bool = False,
    nor: Callable[[PostgresFacts], Sequence[str]] = lambda _: (),
) -> Callable[[PostgresFacts], Judgement]:
    """Passes when the question finds nothing in any database; with `but_asked_for` nothing but
    extensions that the file names; and `nor` finds nothing on the server as a whole."""

    def judge(facts: PostgresFacts) -> Judgement:
        fine_ones = facts.extensions if but_asked_for else frozenset[str]()
        bad = list(nor(facts))
        count, unseen, asked = len(bad), [], 0
        for database, inside in facts.inside.value.items():
            reason = inside.missing
            answer = None if reason is not None else inside.value.get(question)
            if answer is not None:
                asked, reason = asked + 1, answer.missing
                if reason is None:
                    names = [one for one in answer.value.first if one not in fine_ones]
                    count += answer.value.count - len(answer.value.first) + len(names)
                    bad += [f"{database}: {one}" for one in names]
            if reason is not None:
                unseen.append(f"{database}: {reason}")
        if bad:
            more = count - min(_MOST, len(bad))
            return judged(False, ", ".join(bad[:_MOST]) + (f" and {more} more" if more else ""))
        if unseen:
            more = len(unseen) - 1
            raise UnobservableError(
                unseen[0] + (f" (and in {more} more databases)" if more else "")
            )
        if not asked:
            return not_applicable("the file has no app here")
        return judged(True, f"{fine} ({many(asked, 'database')})")

    return judge
