//! How long the proxy waits.

use std::time::Duration;

use tonic::metadata::MetadataMap;

/// Of the proxy's time, so much is left for the way back: an answer that comes too late is no
/// answer, and then the proxy's `failure_mode_allow` decides.
const LEFT: u32 = 4;

/// The time to answer in, from the call's `grpc-timeout`.
pub(super) fn of(metadata: &MetadataMap) -> Duration {
    let announced = metadata.get("grpc-timeout").and_then(|it| it.to_str().ok());
    match announced.and_then(read) {
        Some(timeout) => timeout - timeout / LEFT,
        None => Duration::MAX,
    }
}

/// The `Timeout` of the gRPC protocol over HTTP/2: at most eight digits and a unit.
fn read(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_leaves_before_the_proxy_gives_up() {
        for (timeout, patience) in [
            (Some("200m"), Duration::from_millis(150)),
            (Some("1S"), Duration::from_millis(750)),
            (Some("0n"), Duration::ZERO),
            (Some("99999999H"), Duration::from_secs(99_999_999 * 2700)),
            (None, Duration::MAX),
            (Some(""), Duration::MAX),
            (Some("m"), Duration::MAX),
            (Some("123456789m"), Duration::MAX),
            (Some("-1m"), Duration::MAX),
            (Some("1x"), Duration::MAX),
        ] {
            let mut metadata = MetadataMap::new();
            if let Some(timeout) = timeout {
                metadata.insert("grpc-timeout", timeout.parse().unwrap());
            }
            assert_eq!(of(&metadata), patience, "{timeout:?}");
        }
    }
}
