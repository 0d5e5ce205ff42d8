//! The time at both ends.

/// The time, as the caller's clocks tell it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Now {
    /// Microseconds of a clock that never goes back, from any origin.
    pub monotonic_us: u64,
    /// Microseconds since 1970-01-01 UTC by the wall clock, which may be wrong and may jump.
    pub wall_us: u64,
}

/// How fast two board clocks may drift apart, in parts per million: 50 each.
const DRIFT_PPM: u64 = 100;

/// How far the server's wall clock is ahead of the agent's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockOffset {
    /// Server's wall clock minus agent's, in microseconds.
    pub offset_us: i64,
    /// The true offset lies within this many microseconds of it.
    pub error_us: u64,
}

/// Keeps the best estimate of the offset, as in NTP (RFC 5905, section 8): of
/// one exchange, the offset is the mean of both ways' differences and its error
/// half of the time spent on the way. The error grows by the drift that two
/// crystals may have; a fresh exchange replaces the estimate once it is better.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClockFilter {
    best: Option<(ClockOffset, u64)>,
}

impl ClockFilter {
    /// One exchange: asked at `asked`, received and answered by the server's
    /// wall clock at `received_us` and `answered_us`, and back at `back`.
    pub(crate) fn exchange(&mut self, asked: Now, received_us: u64, answered_us: u64, back: Now) {
        let away = back.monotonic_us.saturating_sub(asked.monotonic_us);
        let at_server = answered_us.saturating_sub(received_us);
        // The wall clock may have been set meanwhile: the monotonic one measures the time away.
        let asked_wall = i128::from(back.wall_us) - i128::from(away);
        let outward = i128::from(received_us) - asked_wall;
        let homeward = i128::from(answered_us) - i128::from(back.wall_us);
        let bounded = i128::clamp((outward + homeward) / 2, i64::MIN.into(), i64::MAX.into());
        let sample = ClockOffset {
            offset_us: i64::try_from(bounded).unwrap_or_default(),
            error_us: away.saturating_sub(at_server).div_ceil(2),
        };
        let better = self.at(back).is_none_or(|held| {
            // An estimate that contradicts the held one means that a wall clock was set.
            sample.error_us <= held.error_us
                || held.offset_us.abs_diff(sample.offset_us) > held.error_us.saturating_add(sample.error_us)
        });
        if better {
            self.best = Some((sample, back.monotonic_us));
        }
    }

    /// The estimate as of `now`, its error grown by its age.
    pub(crate) fn at(&self, now: Now) -> Option<ClockOffset> {
        let (held, since) = self.best?;
        let age = now.monotonic_us.saturating_sub(since);
        Some(ClockOffset { error_us: held.error_us.saturating_add(age / (1_000_000 / DRIFT_PPM)), ..held })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn now(monotonic_us: u64, wall_us: u64) -> Now {
        Now { monotonic_us, wall_us }
    }

    #[test]
    fn the_offset_lies_within_its_error() {
        // The server is 5 s ahead; 30 ms there, 2 ms thinking, 10 ms back.
        let mut filter = ClockFilter::default();
        filter.exchange(now(0, 1_000_000), 6_030_000, 6_032_000, now(42_000, 1_042_000));
        let got = filter.at(now(42_000, 0)).unwrap();
        assert_eq!(got, ClockOffset { offset_us: 5_010_000, error_us: 20_000 });
        // A worse exchange is ignored until drift has made the held one worse still.
        filter.exchange(now(50_000, 1_050_000), 6_100_000, 6_100_000, now(100_000, 1_100_000));
        assert_eq!(filter.at(now(100_000, 0)).unwrap().offset_us, 5_010_000);
        assert_eq!(filter.at(now(42_000 + 3_600_000_000, 0)).unwrap().error_us, 20_000 + 360_000);
        // A wall clock that was set is believed at once.
        filter.exchange(now(200_000, 9_000_000), 9_020_000, 9_020_000, now(260_000, 9_060_000));
        assert_eq!(filter.at(now(260_000, 0)).unwrap(), ClockOffset { offset_us: -10_000, error_us: 30_000 });
    }

    #[test]
    fn absurd_clocks_do_no_harm() {
        let mut filter = ClockFilter::default();
        filter.exchange(now(9, 0), u64::MAX, 0, now(1, u64::MAX));
        filter.exchange(now(0, u64::MAX), u64::MAX, u64::MAX, now(u64::MAX, 0));
        assert!(filter.at(now(u64::MAX, 0)).is_some());
    }
}
