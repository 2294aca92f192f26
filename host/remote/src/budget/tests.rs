//! The budget by a clock that only the test moves: what leaves when.

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

fn id(text: &str) -> IntegrationId {
    IntegrationId::new(text).unwrap()
}

fn budget(per_second: u32, at_once: u32, per_hour: Option<u32>) -> Arc<Budget> {
    let limits = Limits { requests_per_second: per_second, at_once, requests_per_hour: per_hour };
    Budget::new(limits)
}

fn response(status: u16, headers: &[(&str, &str)]) -> AnswerBody {
    let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    AnswerBody::Response(HttpResponse { status, headers, body: String::new() })
}

/// An answer to something that had left.
fn tell(budget: &Budget, answer: &AnswerBody) {
    budget.lock().told(answer, Millis(0), false);
}

/// Somebody who comes back whenever told to. Gives when it left.
async fn insist(budget: &Arc<Budget>, who: &IntegrationId, work: Duration) -> (Instant, u32) {
    let mut refused = 0;
    loop {
        match budget.turn(who, Urgency::Usual, PATIENCE).await {
            Ok(mut turn) => {
                let left = Instant::now();
                tokio::time::sleep(work).await;
                turn.told(&response(200, &[]), Millis(0));
                return (left, refused);
            }
            Err(AnswerBody::Busy(ms) | AnswerBody::Silent(ms)) => {
                refused += 1;
                tokio::time::sleep(Duration::from_millis(ms)).await;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// All at once. Gives when each left, in order, and how often one was sent back at most.
async fn crowd(budget: &Arc<Budget>, who: &str, many: u32, work: Duration) -> (Vec<Instant>, u32) {
    let all: Vec<_> = (0..many)
        .map(|_| {
            let (budget, who) = (Arc::clone(budget), id(who));
            tokio::spawn(async move { insist(&budget, &who, work).await })
        })
        .collect();
    let (mut left, mut most) = (Vec::new(), 0);
    for one in all {
        let (at, refused) = one.await.unwrap();
        left.push(at);
        most = most.max(refused);
    }
    left.sort();
    (left, most)
}

#[tokio::test(start_paused = true)]
async fn a_crowd_leaves_at_the_pace_and_comes_back_once() {
    let budget = budget(50, 4, None);
    let began = Instant::now();
    let (left, refused) = crowd(&budget, "i", 10_000, Duration::from_millis(20)).await;
    for window in left.windows(51) {
        assert!(window[50] - window[0] >= Duration::from_secs(1), "more than 50 in a second");
    }
    let drained = (left[9_999] - began).as_secs_f64();
    assert!(drained < 1.1 * 10_000.0 / 50.0, "{drained}");
    assert!(refused <= 2, "each is told a time at which there is room: {refused}");
}

/// Each takes longer than the pace has slots for, now and then: what was lost so is made up for.
#[tokio::test(start_paused = true)]
async fn time_that_passes_unused_is_made_up_for_within_the_second() {
    let budget = budget(50, 4, None);
    let began = Instant::now();
    let all: Vec<_> = (0..2_000)
        .map(|n| {
            let budget = Arc::clone(&budget);
            let work = Duration::from_millis(if n % 20 < 4 { 200 } else { 10 });
            tokio::spawn(async move { insist(&budget, &id("i"), work).await.0 })
        })
        .collect();
    let mut left = Vec::new();
    for one in all {
        left.push(one.await.unwrap());
    }
    left.sort();
    for window in left.windows(47) {
        assert!(window[46] - window[0] >= Duration::from_millis(999), "more than 46 in a second");
    }
    let drained = (left[1_999] - began).as_secs_f64();
    assert!(drained < 1.03 * 2_000.0 / 46.0, "{drained}");
}

/// Requests that take now hardly any time and now half a second to arrive.
#[tokio::test(start_paused = true)]
async fn no_second_sees_more_than_the_limit_however_long_they_are_on_their_way() {
    let budget = budget(50, 4, None);
    let all: Vec<_> = (0..1_000)
        .map(|n| {
            let budget = Arc::clone(&budget);
            tokio::spawn(async move {
                loop {
                    match budget.turn(&id("i"), Urgency::Usual, PATIENCE).await {
                        Ok(mut turn) => {
                            let slow = Duration::from_millis(if n / 7 % 2 == 0 { 0 } else { 500 });
                            tokio::time::sleep(slow).await;
                            let arrived = Instant::now();
                            turn.told(&response(200, &[]), Millis(0));
                            return arrived;
                        }
                        Err(AnswerBody::Busy(ms)) => {
                            tokio::time::sleep(Duration::from_millis(ms)).await;
                        }
                        Err(other) => panic!("{other:?}"),
                    }
                }
            })
        })
        .collect();
    let mut arrived = Vec::new();
    for one in all {
        arrived.push(one.await.unwrap());
    }
    arrived.sort();
    for window in arrived.windows(51) {
        assert!(window[50] - window[0] >= Duration::from_secs(1), "more than 50 in a second");
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_at_once_than_may_be() {
    let budget = budget(1_000, 4, None);
    let began = Instant::now();
    let (left, _) = crowd(&budget, "i", 40, Duration::from_secs(1)).await;
    for window in left.windows(5) {
        assert!(window[4] - window[0] >= Duration::from_secs(1), "a fifth at once");
    }
    assert!(left[39] - began < Duration::from_secs(11));
}

#[tokio::test(start_paused = true)]
async fn a_crowd_does_not_keep_another_integration_out() {
    let budget = budget(50, 4, None);
    let flood = {
        let budget = Arc::clone(&budget);
        tokio::spawn(async move { crowd(&budget, "flood", 5_000, Duration::ZERO).await })
    };
    tokio::time::sleep(Duration::from_secs(5)).await;
    for _ in 0..5 {
        let began = Instant::now();
        let (left, refused) = insist(&budget, &id("calm"), Duration::ZERO).await;
        assert_eq!(refused, 0);
        assert!(left - began <= PATIENCE, "{:?}", left - began);
    }
    flood.abort();
}

#[tokio::test(start_paused = true)]
async fn nothing_leaves_before_the_instance_lets_it() {
    for (header, seconds) in [
        ("7", 7),
        ("Thu, 01 Jan 1970 00:00:09 GMT", 9),
        ("-5", 0),
        ("soon", 0),
        ("99999999999", 3_600),
    ] {
        let budget = budget(50, 4, None);
        tell(&budget, &response(429, &[("retry-after", header)]));
        let began = Instant::now();
        let (left, _) = insist(&budget, &id("i"), Duration::ZERO).await;
        let waited = (left - began).as_secs();
        assert!((seconds..=seconds + 10).contains(&waited), "{header}: {waited} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_an_hour_is_planned_ahead() {
    let budget = budget(50, 4, Some(1_000));
    let began = Instant::now();
    let (left, _) = crowd(&budget, "i", 1_500, Duration::ZERO).await;
    let hour = began + LONGEST;
    assert!(left[499] - began < Duration::from_secs(15), "half of it as fast as may be");
    let within = left.iter().filter(|at| **at < hour).count();
    assert!((980..=1_000).contains(&within), "{within}: no more than that, and hardly less");
    assert!(left[within - 1] > hour - Duration::from_secs(120), "the rest evenly");
    let most = left[500..within].windows(2).map(|two| two[1] - two[0]).max().unwrap();
    assert!(most < Duration::from_secs(30), "no long silence: {most:?}");
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_the_instance_names_is_kept() {
    let budget = budget(50, 4, None);
    let named = response(
        200,
        &[
            ("x-ratelimit-limit", "200"),
            ("x-ratelimit-reset", "600"),
            ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ],
    );
    tell(&budget, &named);
    let began = Instant::now();
    let (left, _) = crowd(&budget, "i", 250, Duration::ZERO).await;
    let ends = began + Duration::from_secs(600);
    assert!(left.iter().filter(|at| **at < ends).count() < 200);
    // It says so itself when its count is ahead of ours.
    let refused = response(429, &[("x-ratelimit-limit", "200"), ("x-ratelimit-reset", "60")]);
    tell(&budget, &refused);
    let began = Instant::now();
    let (left, _) = insist(&budget, &id("i"), Duration::ZERO).await;
    assert!(left - began >= Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_does_not_answer_is_left_alone() {
    let budget = budget(50, 4, None);
    let lost = AnswerBody::Lost("no answer".to_owned());
    let mut tries = Vec::new();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(600) {
        match budget.turn(&id("i"), Urgency::Usual, PATIENCE).await {
            Ok(mut turn) => {
                tries.push(Instant::now());
                turn.told(&lost, Millis(0));
            }
            Err(AnswerBody::Silent(ms)) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!((SILENCE as usize..60).contains(&tries.len()), "{}", tries.len());
    // It answers again: the first that tries opens it for all.
    let (_, refused) = insist(&budget, &id("i"), Duration::ZERO).await;
    assert!(refused <= 2);
    assert!(budget.turn(&id("j"), Urgency::Usual, PATIENCE).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn one_finds_out_for_all() {
    let budget = budget(50, 4, None);
    for _ in 0..SILENCE {
        tell(&budget, &response(503, &[]));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let first = budget.turn(&id("i"), Urgency::Usual, PATIENCE).await;
    assert!(first.is_ok());
    assert!(matches!(
        budget.turn(&id("j"), Urgency::Usual, PATIENCE).await,
        Err(AnswerBody::Silent(_))
    ));
    // It was not sent after all: the next one finds out.
    drop(first);
    assert!(budget.turn(&id("j"), Urgency::Usual, PATIENCE).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_ticket_has_its_turn_first_and_the_others_come_on() {
    let budget = budget(50, 4, None);
    let usual = {
        let budget = Arc::clone(&budget);
        tokio::spawn(async move { crowd(&budget, "i", 400, Duration::ZERO).await })
    };
    tokio::time::sleep(Duration::from_millis(500)).await;
    let began = Instant::now();
    assert!(budget.turn(&id("i"), Urgency::First, PATIENCE).await.is_ok());
    let waited = began.elapsed();
    assert!(waited < Duration::from_millis(200), "{waited:?}: behind those that have a slot only");
    // However many are urgent, the others come on.
    let urgent: Vec<_> = (0..400)
        .map(|_| {
            let budget = Arc::clone(&budget);
            tokio::spawn(
                async move { budget.turn(&id("i"), Urgency::First, PATIENCE).await.is_ok() },
            )
        })
        .collect();
    let (left, _) = usual.await.unwrap();
    let meanwhile = left
        .iter()
        .filter(|at| (Duration::from_secs(1)..Duration::from_secs(8)).contains(&(**at - began)))
        .count();
    assert!((15..40).contains(&meanwhile), "{meanwhile}: about one in sixteen");
    for one in urgent {
        assert!(one.await.unwrap());
    }
}

/// An instance that fell silent while a line waited: the line does not go on.
#[tokio::test(start_paused = true)]
async fn who_waits_in_line_does_not_go_to_an_instance_that_fell_silent() {
    let budget = budget(50, 4, None);
    let line: Vec<_> = (0..200)
        .map(|_| {
            let budget = Arc::clone(&budget);
            tokio::spawn(async move {
                match budget.turn(&id("i"), Urgency::Usual, PATIENCE).await {
                    Ok(mut turn) => {
                        tokio::time::sleep(Duration::from_millis(500)).await;
                        turn.told(&AnswerBody::Lost(String::new()), Millis(0));
                        true
                    }
                    Err(_) => false,
                }
            })
        })
        .collect();
    let mut left = 0;
    for one in line {
        left += u32::from(one.await.unwrap());
    }
    assert!((SILENCE..20).contains(&left), "{left}");
}

/// Who goes away while it waits leaves no slot taken and no place in the line.
#[tokio::test(start_paused = true)]
async fn who_goes_away_leaves_nothing_behind() {
    let budget = budget(1_000, 1, None);
    for _ in 0..50 {
        let turn = budget.turn(&id("i"), Urgency::First, PATIENCE).await.unwrap();
        let waiting = {
            let budget = Arc::clone(&budget);
            tokio::spawn(
                async move { budget.turn(&id("i"), Urgency::First, PATIENCE).await.is_ok() },
            )
        };
        tokio::time::sleep(Duration::from_millis(1)).await;
        // At the moment at which it is given a slot.
        drop(turn);
        waiting.abort();
        let _ = waiting.await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let state = budget.lock();
    assert_eq!(state.free, 1);
    assert!(state.lines.values().all(|line| line.waiting == 0));
}

/// Other limits hold at once, for those who wait too; what is known of the instance stays.
#[tokio::test(start_paused = true)]
async fn limits_change_while_requests_wait() {
    let budget = budget(50, 4, None);
    let crowd = {
        let budget = Arc::clone(&budget);
        tokio::spawn(async move { crowd(&budget, "i", 300, Duration::from_secs(1)).await })
    };
    tokio::time::sleep(Duration::from_secs(2)).await;
    budget.limit(Limits { requests_per_second: 50, at_once: 1, requests_per_hour: None });
    let changed = Instant::now() + Duration::from_secs(1);
    tokio::time::sleep(Duration::from_secs(20)).await;
    budget.limit(Limits { requests_per_second: 50, at_once: 8, requests_per_hour: None });
    let again = Instant::now();
    let (left, _) = crowd.await.unwrap();
    let few: Vec<_> = left.iter().filter(|at| (changed..again).contains(*at)).collect();
    assert!(few.windows(2).all(|two| *two[1] - *two[0] >= Duration::from_secs(1)), "one at once");
    // A trial that is on its way finds out under other limits too.
    for _ in 0..SILENCE {
        tell(&budget, &AnswerBody::Lost(String::new()));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut trial = budget.turn(&id("i"), Urgency::Usual, PATIENCE).await.unwrap();
    budget.limit(Limits { requests_per_second: 40, at_once: 4, requests_per_hour: None });
    trial.told(&response(200, &[]), Millis(0));
    drop(trial);
    assert!(budget.turn(&id("j"), Urgency::Usual, PATIENCE).await.is_ok());
}
