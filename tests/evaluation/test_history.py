import dataclasses

from hax_jax.evaluation import history


def test_evaluations_since_the_best_are_counted() -> None:
    past = history.History()
    seen = []
    for step, loss in enumerate([3.0, 2.0, 2.0, 2.5, 1.9], start=1):
        past = past.evaluated(step, loss)
        seen.append((past.best_loss, past.best_step, past.since_best))
    assert seen == [(3.0, 1, 0), (2.0, 2, 0), (2.0, 2, 1), (2.0, 2, 2), (1.9, 5, 0)]


def test_small_improvements_end_the_wait_once_they_add_up() -> None:
    past = history.History()
    seen = []
    for step, loss in enumerate([2.0, 1.95, 1.92, 1.89, 1.88], start=1):
        past = past.evaluated(step, loss, min_delta=0.1)
        seen.append((past.best_loss, past.since_best))
    assert seen == [(2.0, 0), (1.95, 1), (1.92, 2), (1.89, 0), (1.88, 1)]
    # Without a least improvement from here on, only a new best counts.
    assert past.evaluated(6, 1.885).since_best == 2
    assert past.evaluated(6, 1.879).since_best == 0


def test_patience_ends_after_that_many_and_zero_never() -> None:
    past = history.History(best_loss=2.0, best_step=1, since_best=3)
    assert [past.out_of_patience(patience) for patience in (0, 2, 3, 4)] == [
        False,
        True,
        True,
        False,
    ]


def test_a_loss_that_is_no_number_is_not_better() -> None:
    past = history.History().evaluated(1, 2.0).evaluated(2, float('inf'))
    assert (past.best_loss, past.since_best) == (2.0, 1)


def test_a_checkpoint_gives_back_the_history_that_it_was_given() -> None:
    past = history.History(loss_before=3.0).evaluated(1, 2.0).evaluated(2, 2.5)
    assert history.read({'history': dataclasses.asdict(past)}, [(9, 0.1)]) == past


def test_an_older_checkpoint_takes_the_best_on_disk() -> None:
    saved = [(5, 2.5), (10, None), (15, 2.25), (20, 2.75)]
    assert history.read({}, saved) == history.History(best_loss=2.25, best_step=15)
    assert history.read({}, [(5, None)]) == history.History()
