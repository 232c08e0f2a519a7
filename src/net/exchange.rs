//! One request over a stream that is connected, and what is read of its answer.
//!
//! HTTP/1.1 in origin form: the caller names path and host and bounds the time. Nothing is spawned and nothing kept: whoever
//! drops an exchange ends its connection, and the stream ends with the exchange.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// The largest head of an answer; no service that we ask sends more than some KiB.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Why an answer is not whole.
#[derive(Debug, thiserror::Error)]
pub enum BodyFault {
    #[error("it ends early or is no HTTP: {0}")]
    Cut(String),
    #[error("it is larger than {0} bytes")]
    TooLarge(usize),
}

/// Sends `request`, and gives what `read` makes of the answer, whose body still comes.
///
/// # Errors
/// There is no answer: the stream broke off, or no HTTP is spoken on it. The request may have been carried out all the same.
pub async fn ask<S, T>(
    stream: S,
    request: Request<Full<Bytes>>,
    read: impl AsyncFnOnce(Response<Incoming>) -> T,
) -> Result<T, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await?;
    let asking = async {
        let answer = sender.send_request(request).await?;
        Ok(read(answer).await)
    };
    tokio::pin!(asking);
    tokio::select! {
        biased;
        answer = &mut asking => answer,
        // The connection may end in the very step that delivered the answer, and not well: some close TLS without a word.
        ended = connection => asking.await.map_err(|error| ended.err().unwrap_or(error)),
    }
}

/// The whole answer.
///
/// # Errors
/// It is longer than `body_bytes_max`, or does not come to its end.
pub async fn whole(
    answer: Response<Incoming>,
    body_bytes_max: usize,
) -> Result<Response<Bytes>, BodyFault> {
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, body_bytes_max).collect().await;
    let body = body.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
        Some(_) => BodyFault::TooLarge(body_bytes_max),
        None => BodyFault::Cut(error.to_string()),
    })?;
    Ok(Response::from_parts(head, body.to_bytes()))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::ReadBuf;

    use super::*;

    /// Gives this answer once it was asked, and then breaks off.
    struct Rude {
        answer: &'static [u8],
        is_asked: bool,
    }

    impl AsyncRead for Rude {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            into: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if !self.is_asked {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            match std::mem::take(&mut self.answer) {
                b"" => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                answer => {
                    into.put_slice(answer);
                    Poll::Ready(Ok(()))
                }
            }
        }
    }

    impl AsyncWrite for Rude {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.is_asked = true;
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    async fn asked(answer: &'static [u8]) -> Result<Result<Bytes, BodyFault>, hyper::Error> {
        let stream = Rude {
            answer,
            is_asked: false,
        };
        let request = Request::new(Full::default());
        let read = async |answer| Ok(whole(answer, 16).await?.into_body());
        ask(stream, request, read).await
    }

    #[tokio::test]
    async fn an_answer_counts_that_is_whole_though_the_stream_ends_badly() {
        let good =
            asked(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok").await;
        assert_eq!(good.unwrap().unwrap(), "ok");
        let cut = asked(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await;
        assert!(matches!(cut, Ok(Err(BodyFault::Cut(_)))), "{cut:?}");
        assert!(asked(b"HTTP/1.1 20").await.is_err());
    }
}
