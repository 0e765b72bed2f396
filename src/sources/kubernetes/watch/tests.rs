//! What a watch does after faults.

use super::*;

#[test]
fn pauses_grow_up_to_a_limit_and_a_server_may_ask_for_one() {
    let mut place = Place::default();
    let pauses: Vec<u128> = (0..10).map(|_| place.after(&Fault::Timeout, 1).as_millis()).collect();
    assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
    assert_eq!(place.after(&Fault::Busy(Some(Duration::from_secs(7))), 1), Duration::from_secs(7));
    let jittered = jittered(Duration::from_secs(1)).as_millis();
    assert!((500..=1000).contains(&jittered), "{jittered}");
}

#[test]
fn a_server_that_refuses_the_place_three_times_is_listed_again_and_one_that_is_away_is_not() {
    let mut place = Place { version: Some("9".to_owned()), ..Place::default() };
    for _ in 0..5 {
        place.after(&Fault::Unreachable(String::new()), 1);
        place.after(&Fault::Timeout, 1);
    }
    assert!(place.version.is_some());
    place.after(&Fault::Status(504, "Too large resource version".to_owned()), 1);
    assert!(place.version.is_none());
}

#[test]
fn an_older_version_is_taken_at_once_but_not_where_the_newer_one_was_there() {
    let mut place = Place::default();
    assert_eq!((place.after(&Fault::NotFound, 2), place.choice), (Duration::ZERO, 1));
    assert_eq!((place.after(&Fault::NotFound, 2), place.choice), (MISSING_PAUSE, 0));
    let mut proven = Place { proven: true, version: Some("9".to_owned()), ..Place::default() };
    proven.after(&Fault::NotFound, 2);
    assert_eq!((proven.choice, proven.version.is_some()), (0, true));
    proven.after(&Fault::NotFound, 2);
    proven.after(&Fault::NotFound, 2);
    assert_eq!((proven.choice, proven.version.is_some()), (1, false));
}

#[test]
fn where_everything_at_once_is_too_large_pages_are_tried_again() {
    let mut place = Place { unpaged: true, ..Place::default() };
    assert_eq!((place.smaller(0), place.unpaged), (Some(PAGE), false));
    let sizes: Vec<u32> = std::iter::successors(Some(PAGE), |size| place.smaller(*size)).collect();
    assert_eq!(sizes, [500, 50, 5, 1]);
}
