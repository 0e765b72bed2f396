//! Where a size or a time belongs in its histogram.

use std::time::Duration;

/// Upper bounds of the sizes of answers, in octets: the old limit of UDP (RFC 1035), that of today (1232, DNS flag day
/// 2020), what clients may announce (4096), and what a stream can carry. Above the last there is nothing.
pub const SIZE_BOUNDS: [u64; 8] = [64, 128, 256, 512, 1232, 4096, 16_384, 65_535];
/// Buckets of sizes.
pub(super) const SIZES: usize = SIZE_BOUNDS.len();

/// Upper bounds of the time from a query to its answer, in nanoseconds. An answer from memory takes less than a
/// microsecond; what takes longer than some has waited for a processor. There is one bucket more, for all above.
pub const LATENCY_BOUNDS: [u64; 12] =
    [250, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
/// Buckets of times.
pub(super) const LATENCIES: usize = LATENCY_BOUNDS.len() + 1;

/// The bucket of a size in octets.
pub(super) fn size(octets: usize) -> usize {
    SIZE_BOUNDS.partition_point(|&bound| bound < octets as u64).min(SIZES - 1)
}

/// The bucket of a time.
pub(super) fn latency(nanoseconds: u64) -> usize {
    LATENCY_BOUNDS.partition_point(|&bound| bound < nanoseconds)
}

/// The time in nanoseconds; hundreds of years are as good as more.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_is_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        for octets in 0..=65_535_usize {
            let expected = SIZE_BOUNDS.iter().position(|&bound| octets as u64 <= bound).expect("a bound");
            assert_eq!(size(octets), expected, "{octets}");
        }
        assert_eq!(size(usize::MAX), SIZES - 1);
    }

    #[test]
    fn times_past_the_last_bound_have_a_bucket_too() {
        for (time, bucket) in [(0, 0), (250, 0), (251, 1), (100_000_000, 11), (100_000_001, 12), (u64::MAX, 12)] {
            assert_eq!(latency(time), bucket, "{time}");
        }
    }
}
