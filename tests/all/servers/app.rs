//! The application behind a webhook: it knows the ids of what it has taken, and takes nothing twice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Body;
use axum::http::Response;

use crate::receiver::{Arrival, Receiver, status};

#[derive(Default)]
pub struct App {
    desk: Arc<Mutex<Desk>>,
}

/// What the application has, and its ways.
#[derive(Default)]
pub struct Desk {
    pub ways: Ways,
    /// What was answered by 2xx, by `webhook-id`.
    taken: BTreeMap<String, Vec<u8>>,
    /// The bytes that first came with each id, whatever the answer was.
    first: BTreeMap<String, Vec<u8>>,
    /// An id that came again with other bytes.
    unsteady: Option<String>,
}

#[derive(Default)]
pub struct Ways {
    /// The answer to every request, and its Retry-After in seconds.
    pub refuses: Option<(u16, Option<u32>)>,
    /// 400 is the answer to a message that holds this text.
    pub dislikes: Option<String>,
}

impl App {
    /// What it listens at.
    pub async fn receiver(&self) -> Receiver {
        let desk = Arc::clone(&self.desk);
        Receiver::answering(move |arrival, _| desk.lock().unwrap().answer(arrival)).await
    }

    /// Not to be held over an await.
    pub fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap()
    }

    /// What it has: each id once, and the same bytes each time.
    pub fn taken(&self) -> Vec<Vec<u8>> {
        let desk = self.desk();
        assert_eq!(desk.unsteady, None, "an id came again with other bytes");
        desk.taken.values().cloned().collect()
    }
}

impl Desk {
    fn answer(&mut self, arrival: &Arrival) -> Response<Body> {
        let (id, body) = (arrival.header("webhook-id").to_owned(), arrival.body.to_vec());
        if *self.first.entry(id.clone()).or_insert_with(|| body.clone()) != body {
            self.unsteady = Some(id.clone());
        }
        if let Some((refusal, retry_after)) = self.ways.refuses {
            let mut answer = status(refusal);
            if let Some(seconds) = retry_after {
                answer.headers_mut().insert("retry-after", seconds.into());
            }
            return answer;
        }
        let dislikes = self.ways.dislikes.as_ref();
        if dislikes.is_some_and(|text| memchr::memmem::find(&body, text.as_bytes()).is_some()) {
            return status(400);
        }
        self.taken.insert(id, body);
        status(200)
    }
}
