//! What is in force at this moment, and may be another thing in the next: whoever begins something takes what is there then,
//! and keeps it for as long as that goes on.

use std::sync::{Arc, PoisonError, RwLock};

/// Shared by those who ask and the one who changes it.
pub struct Current<T: ?Sized>(RwLock<Arc<T>>);

impl<T: ?Sized> Current<T> {
    pub fn new(first: Arc<T>) -> Arc<Self> {
        Arc::new(Self(RwLock::new(first)))
    }

    pub fn get(&self) -> Arc<T> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub fn set(&self, next: Arc<T>) {
        let before = {
            let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, next)
        };
        // What goes with the last one may take a while, and nobody should wait for it.
        drop(before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_took_what_was_there_keeps_it() {
        let current = Current::new(Arc::new(1));
        let taken = current.get();
        current.set(Arc::new(2));
        assert_eq!((*taken, *current.get()), (1, 2));
    }
}
