//! What pages load: that it is there for everybody, is not sent twice, and can be read.

use std::collections::HashMap;

use axum::body::Body;
use axum::http::{Method, StatusCode, header};

use crate::world::{Answer, World, request};

const ASSETS: [(&str, &str); 5] = [
    ("/assets/jobmill.css", "text/css; charset=utf-8"),
    ("/assets/jobmill.js", "text/javascript; charset=utf-8"),
    ("/assets/plain.svg", "image/svg+xml"),
    ("/assets/running.svg", "image/svg+xml"),
    ("/assets/dead.svg", "image/svg+xml"),
];

async fn again(world: &World, path: &str, known: &str) -> Answer {
    let asked = request(Method::GET, path).header(header::IF_NONE_MATCH, known);
    world.send(asked.body(Body::empty()).expect("a request")).await
}

#[tokio::test]
async fn assets_are_for_everybody_and_asked_for_again_but_not_sent_again() {
    let world = World::with(&[]).await;
    world.token(r#"{ "scope": "operate" }"#).await;
    let mut tags = Vec::new();
    for (path, media_type) in ASSETS {
        let answer = world.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.headers[header::CONTENT_TYPE], media_type);
        assert_eq!(answer.headers[header::CACHE_CONTROL], "no-cache");
        let tag = answer.headers[header::ETAG].to_str().expect("text").to_owned();
        for known in [tag.clone(), format!("\"other\", W/{tag}"), "*".to_owned()] {
            let same = again(&world, path, &known).await;
            assert_eq!((same.status, same.body.as_str()), (StatusCode::NOT_MODIFIED, ""), "{path} {known}");
            assert_eq!(same.headers[header::ETAG], *tag);
        }
        assert_eq!(again(&world, path, "\"other\"").await.body, answer.body);
        assert!(!tags.contains(&tag), "each has a tag of its own");
        tags.push(tag);
    }
}

#[tokio::test]
async fn the_script_is_small_and_makes_no_markup_of_data() {
    let script = World::with(&[]).await.get("/assets/jobmill.js").await.body;
    assert!(script.len() <= 14_000, "{} bytes", script.len());
    for way in [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "http://",
        "https://",
    ] {
        assert!(!script.contains(way), "{way}");
    }
}

/// Each colour that the style sheet names, in its light and its dark form.
fn colours(style: &str) -> HashMap<&str, [&str; 2]> {
    let declared = style.lines().filter_map(|line| line.trim().strip_prefix("--"));
    let pairs = declared.filter_map(|line| {
        let (name, value) = line.split_once(": light-dark(")?;
        Some((name, <[&str; 2]>::try_from(value.trim_end_matches(");").split(", ").collect::<Vec<_>>()).ok()?))
    });
    pairs.collect()
}

/// WCAG 2's relative luminance.
fn luminance(colour: &str) -> f64 {
    let channel = |at: usize| {
        let share = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).expect("two digits")) / 255.0;
        if share <= 0.040_45 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
}

fn contrast(one: &str, other: &str) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[tokio::test]
async fn every_colour_can_be_read_on_every_ground_in_the_light_and_in_the_dark() {
    let style = World::with(&[]).await.get("/assets/jobmill.css").await.body;
    let all = colours(&style);
    let states = ["scheduled", "available", "running", "retryable", "completed", "cancelled", "dead"];
    // The edge of a field is no text.
    let on_grounds =
        ["text", "quiet", "accent"].into_iter().chain(states).map(|name| (name, 4.5)).chain([("edge", 3.0)]);
    for (name, least) in on_grounds {
        for ground in ["ground", "raised", "sunken"] {
            for (colour, under) in all[name].iter().zip(all[ground]) {
                let found = contrast(colour, under);
                assert!(found >= least, "{name} on {ground}: {found:.2}");
            }
        }
    }
    for (colour, under) in all["on-accent"].iter().zip(all["accent"]) {
        assert!(contrast(colour, under) >= 4.5, "what stands on a button");
    }
}
