import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kinoflow.datasets.kitchen.step import DRIFT, PHASES, POUR_PHASES, Step, course
from kinoflow.datasets.kitchen.world import ACTIONS, VERBS

seeds = st.integers(0, 2**32 - 1)


def step(action, seed, fps=12, tremble=0.034):
    return Step(action, np.random.default_rng(seed), fps, tremble)


@given(seeds, st.sampled_from(ACTIONS), st.integers(6, 60))
def test_phases_tile_the_step_in_their_order(seed, action, fps):
    made = step(action, seed, fps)
    names, starts, ends = zip(*made.spans, strict=True)
    assert names == (POUR_PHASES if made.verb == "pour" else PHASES)
    assert starts == (0, *ends[:-1]) and ends[-1] == made.frames
    assert all(start < end for start, end in zip(starts, ends, strict=True))


@given(seeds, st.sampled_from(ACTIONS), st.integers(6, 60))
def test_a_step_lasts_as_long_as_its_verb_allows(seed, action, fps):
    made, (shortest, longest) = step(action, seed, fps), VERBS[action.split()[0]].seconds
    assert shortest - 0.5 / fps <= made.frames / fps <= longest + 0.5 / fps


@given(st.floats(0.05, 0.3), st.floats(0.05, 0.3), st.floats(-0.9, 0.9), st.integers(5, 80))
def test_a_course_reversed_in_time_is_one_minus_a_course_with_rests_exchanged(before, after, bend, frames):
    time = (np.arange(frames) + 0.5) / frames
    there = course(time, np.array([before, after]), bend)
    back = 1 - course(time, np.array([after, before]), bend)
    assert np.allclose(there[::-1], back)
    assert (np.diff(there) >= -1e-12).all()  # never turns back


@given(seeds)
def test_pairs_of_slow_verbs_run_the_same_course_in_opposite_directions(seed):
    for away, towards in (("push pan", "pull pan"), ("put bread", "take bread"), ("open jar", "close jar")):
        there, back = step(away, seed), step(towards, seed)
        if there.frames == back.frames:
            assert np.array_equal(back.progress, 1 - there.progress)
            assert np.array_equal(there.wiggle, back.wiggle)
        assert there.progress[0] == 0 and there.progress[-1] == 1
        assert back.progress[0] == 1 and back.progress[-1] == 0


def test_neighbouring_frames_hardly_tell_the_direction_of_slow_motion():
    forward = []
    for seed in range(60):
        made = step("push pan", seed)
        moved = np.diff(-0.32 * made.progress + made.wiggle)  # away from the cook is up: negative
        forward.append((moved < 0).mean())
    assert 0.5 < np.mean(forward) < 0.65


def test_neighbouring_frames_tell_the_direction_of_fast_motion_and_single_frames_do_not():
    for action, sign in (("blend batter", 1), ("froth batter", -1), ("roll dough", 1), ("scrub board", -1)):
        drifts = [step(action, seed).drift for seed in range(60)]
        moved = np.concatenate([np.diff(drift) for drift in drifts])
        steady = (sign * moved >= DRIFT[0]) & (sign * moved <= DRIFT[1])
        assert steady.mean() > 0.68  # the others are jumps
        phases = 2 * np.pi * np.concatenate(drifts)
        assert np.hypot(np.cos(phases).mean(), np.sin(phases).mean()) < 0.08


@given(seeds, st.integers(6, 120))
def test_at_any_frame_rate_a_texture_drifts_less_than_half_a_period_a_frame(seed, fps):
    moved = np.diff(step("grate carrot", seed, fps).drift)
    jumped = (moved < 0) | (moved > DRIFT[1] * min(1, 12 / fps) + 1e-9)
    assert jumped.mean() < 0.8
    assert moved[~jumped].max() < 0.5


def test_twice_the_frame_rate_shows_the_same_speeds():
    for fps in (12, 24, 48):
        drift = np.concatenate([np.diff(step("peel carrot", seed, fps).drift) for seed in range(60)])
        assert -0.35 * 12 / fps < np.median(drift) * 1.0 < -0.1 * 12 / fps
        tremble = np.concatenate([np.diff(step("pull tray", seed, fps).wiggle) for seed in range(60)]) * fps
        assert 0.3 < tremble.std() < 0.7  # scene units per second


def test_without_tremble_the_hand_moves_steadily():
    assert not step("push pan", 0, tremble=0).wiggle.any()
