//! Cron expressions in words, of the shapes that people write: "Weekdays at 9:00", "Every 15 minutes".
//! Of any other shape it says nothing: an expression that stands alone is better than words that are almost right.

use super::{CronExpression, zone_and_expression};

/// What the weekdays are called, from Sunday on.
const WEEKDAYS: [&str; 7] = ["Sundays", "Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays"];
/// How fields write them.
const WEEKDAY_NAMES: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
/// Times or days that are told one by one.
const LISTED: usize = 4;

impl CronExpression {
    /// The expression in words, without its zone; none where they would not be plain.
    pub fn in_words(&self) -> Option<String> {
        let (_, expression) = zone_and_expression(self.text.trim());
        let fields: Vec<&str> = match expression.to_ascii_lowercase().as_str() {
            "@hourly" => vec!["0", "*", "*", "*", "*"],
            "@daily" | "@midnight" => vec!["0", "0", "*", "*", "*"],
            "@weekly" => vec!["0", "0", "*", "*", "0"],
            "@monthly" => vec!["0", "0", "1", "*", "*"],
            _ => expression.split_whitespace().collect(),
        };
        let [minute, hour, day, "*", weekday] = *fields.as_slice() else { return None };
        let (times, days) = (times(minute, hour)?, days(day, weekday)?);
        Some(match (times, days) {
            (Times::At(times), Some(days)) => format!("{days} at {times}"),
            (Times::At(times), None) => format!("Every day at {times}"),
            (Times::Every(times), Some(days)) => format!("{days}, every {times}"),
            (Times::Every(times), None) => format!("Every {times}"),
        })
    }
}

enum Times {
    /// "9:00 and 17:00".
    At(String),
    /// "15 minutes".
    Every(String),
}

fn times(minute: &str, hour: &str) -> Option<Times> {
    if let Some(step) = step(minute, 60) {
        let every = if step == 1 { "minute".to_owned() } else { format!("{step} minutes") };
        return Some(Times::Every(match range(hour) {
            _ if hour == "*" => every,
            Some((first, last)) => format!("{every} from {first}:00 to {last}:{:02}", 60 - step),
            None => return None,
        }));
    }
    let minutes = numbers(minute)?;
    if let (Some(step), [minute]) = (step(hour, 24), &*minutes) {
        let every = if step == 1 { "hour".to_owned() } else { format!("{step} hours") };
        return Some(Times::Every(if *minute == 0 { every } else { format!("{every}, {minute} min past") }));
    }
    if let (Some((first, last)), [minute]) = (range(hour), &*minutes) {
        return Some(Times::Every(format!("hour from {first}:{minute:02} to {last}:{minute:02}")));
    }
    let hours = numbers(hour)?;
    let times: Vec<String> =
        hours.iter().flat_map(|hour| minutes.iter().map(move |minute| format!("{hour}:{minute:02}"))).collect();
    (times.len() <= LISTED).then(|| Times::At(listed(&times)))
}

/// The days; none inside for every day.
#[expect(clippy::option_option, reason = "every day and no words for it are different answers")]
fn days(day: &str, weekday: &str) -> Option<Option<String>> {
    match (day, weekday) {
        ("*", "*") => Some(None),
        ("*", weekday) => weekdays(weekday).map(Some),
        ("L" | "l", "*") => Some(Some("The last day of each month".to_owned())),
        (day, "*") => {
            let days = numbers(day).filter(|days| days.len() <= LISTED)?;
            let word = if days.len() == 1 { "Day" } else { "Days" };
            let days: Vec<String> = days.iter().map(ToString::to_string).collect();
            Some(Some(format!("{word} {} of each month", listed(&days))))
        }
        _ => None,
    }
}

fn weekdays(field: &str) -> Option<String> {
    let mut chosen = [false; 7];
    for element in field.split(',') {
        let (first, last) = match element.split_once('-') {
            Some((first, last)) => (weekday(first)?, weekday(last)?),
            None => (weekday(element)?, weekday(element)?),
        };
        if first > last {
            return None;
        }
        // Sunday is 0, and 7 as well.
        (first..=last).for_each(|day| chosen[day % 7] = true);
    }
    Some(match chosen {
        [false, true, true, true, true, true, false] => "Weekdays".to_owned(),
        [true, false, false, false, false, false, true] => "Weekends".to_owned(),
        _ => {
            let names: Vec<String> =
                WEEKDAYS.iter().zip(chosen).filter(|(_, chosen)| *chosen).map(|(name, _)| (*name).to_owned()).collect();
            if names.len() > LISTED {
                return None;
            }
            listed(&names)
        }
    })
}

fn weekday(text: &str) -> Option<usize> {
    let named = WEEKDAY_NAMES.iter().position(|name| text.eq_ignore_ascii_case(name));
    named.or_else(|| number(text).map(usize::from).filter(|day| *day <= 7))
}

/// `*` is every one; `*/15` counts only where the steps are even across the turn.
fn step(field: &str, of: u8) -> Option<u8> {
    match field.strip_prefix('*')? {
        "" => Some(1),
        rest => number(rest.strip_prefix('/')?).filter(|step| *step > 0 && of.is_multiple_of(*step)),
    }
}

fn range(field: &str) -> Option<(u8, u8)> {
    let (first, last) = field.split_once('-')?;
    Some((number(first)?, number(last)?)).filter(|(first, last)| first < last)
}

/// The numbers of a list, each once and in order.
fn numbers(field: &str) -> Option<Vec<u8>> {
    let mut numbers = field.split(',').map(number).collect::<Option<Vec<u8>>>()?;
    numbers.sort_unstable();
    numbers.dedup();
    Some(numbers)
}

fn number(text: &str) -> Option<u8> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn listed(items: &[String]) -> String {
    match items {
        [front @ .., last] if !front.is_empty() => format!("{} and {last}", front.join(", ")),
        _ => items.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_told_in_words() {
        for (expression, words) in [
            ("0 9 * * 1-5", "Weekdays at 9:00"),
            ("TZ=Europe/Berlin 30 6 * * MON-FRI", "Weekdays at 6:30"),
            ("0 9,17 * * *", "Every day at 9:00 and 17:00"),
            ("0 8 * * sat,sun", "Weekends at 8:00"),
            ("0 8 * * 6-7", "Weekends at 8:00"),
            ("0 8 * * FRI,MON", "Mondays and Fridays at 8:00"),
            ("5 0 1,15 * *", "Days 1 and 15 of each month at 0:05"),
            ("0 12 L * *", "The last day of each month at 12:00"),
            ("* * * * *", "Every minute"),
            ("*/15 * * * *", "Every 15 minutes"),
            ("*/15 8-18 * * 1-5", "Weekdays, every 15 minutes from 8:00 to 18:45"),
            ("* 8-18 * * *", "Every minute from 8:00 to 18:59"),
            ("30 * * * *", "Every hour, 30 min past"),
            ("0 */6 * * *", "Every 6 hours"),
            ("30 8-18 * * *", "Every hour from 8:30 to 18:30"),
            ("@daily", "Every day at 0:00"),
            ("@weekly", "Sundays at 0:00"),
        ] {
            let expression: CronExpression = expression.parse().expect("an expression");
            assert_eq!(expression.in_words().as_deref(), Some(words), "{expression}");
        }
    }

    #[test]
    fn what_has_no_plain_words_is_left_alone() {
        for expression in [
            "*/7 * * * *",
            "0 */5 * * *",
            "0 9 1 * MON",
            "0 9 * JAN *",
            "0 9 * * MON#1",
            "0 9 15W * *",
            "0 9 * * 1-6",
            "0,10-30/5 * * * *",
            "0 9 * * ?",
            "@yearly",
        ] {
            let expression: CronExpression = expression.parse().expect("an expression");
            assert_eq!(expression.in_words(), None, "{expression}");
        }
    }
}
