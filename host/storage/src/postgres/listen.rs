//! What other processes commit is heard, by PostgreSQL's `LISTEN`. Where that does not get through (a pool of
//! connections in between), whoever listens has to look by themselves now and then.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::{AsyncMessage, Client, Connection, Error};

use super::connect::Server;
use crate::{Ear, Heard};

/// So long after it was cut off it connects again.
const AGAIN: Duration = Duration::from_secs(1);
/// The kinds of one transaction are told one by one, if they are not too many for one message.
const LONGEST: usize = 4_000;

/// What others are told of a transaction.
pub(super) fn message(whose: &str, kinds: &[&str]) -> String {
    let kinds = kinds.join(",");
    format!("{whose} {}", if kinds.len() > LONGEST { "" } else { &kinds })
}

/// What it says, if it is another's.
fn heard(own: &str, message: &str) -> Option<Heard> {
    match message.split_once(' ') {
        Some((whose, _)) if whose == own => None,
        Some((_, kinds)) if !kinds.is_empty() => {
            Some(Heard::Changed(kinds.split(',').map(str::to_owned).collect()))
        }
        _ => Some(Heard::Anything),
    }
}

/// Listens for ever. Whenever it begins to, anything may have been changed before.
pub(super) async fn listen(server: Server, own: Arc<str>, ear: Ear) {
    loop {
        // Whoever commits meets the same trouble, and tells of it.
        let _ = server.listen(&own, &ear).await;
        tokio::time::sleep(AGAIN).await;
    }
}

/// Until the connection ends.
pub(super) async fn until_its_end<S, T>(
    client: Client,
    mut connection: Connection<S, T>,
    own: &str,
    ear: &Ear,
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let begin = async {
        client.batch_execute("LISTEN firn").await?;
        ear(Heard::Anything);
        // The connection lives as long as its client.
        std::future::pending::<Result<(), Error>>().await
    };
    let hear = async {
        while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notification(told) = message?
                && let Some(heard) = heard(own, told.payload())
            {
                ear(heard);
            }
        }
        Ok(())
    };
    tokio::select! {
        ended = begin => ended,
        ended = hear => ended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ones_own_are_not_heard_and_others_are_told_apart_by_kind() {
        assert_eq!(heard("a", &message("a", &["link"])), None);
        let two = Heard::Changed(vec!["audit".into(), "link".into()]);
        assert_eq!(heard("a", &message("b", &["audit", "link"])), Some(two));
        let long = "x".repeat(LONGEST + 1);
        assert_eq!(heard("a", &message("b", &[&long])), Some(Heard::Anything));
        assert_eq!(heard("a", ""), Some(Heard::Anything));
    }
}
