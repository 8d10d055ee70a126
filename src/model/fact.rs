//! Facts of a cloud that never change once they were read, and whoever remembers them from one run to the next.

/// Remembers facts. What it forgets is only asked again, so it may forget anything at any time; what it answers is what
/// it was given. Keys say whose fact it is, down to account and endpoint: two clouds never share one.
pub trait Facts: Send + Sync + std::fmt::Debug {
    fn get(&self, key: &str) -> Option<String>;
    fn keep(&self, key: &str, value: &str);
}

/// Remembers nothing: everything is asked anew.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFacts;

impl Facts for NoFacts {
    fn get(&self, _key: &str) -> Option<String> {
        None
    }

    fn keep(&self, _key: &str, _value: &str) {}
}

/// Remembers as long as it lasts, for tests.
#[cfg(test)]
#[derive(Debug, Default)]
pub struct Notes(std::sync::Mutex<std::collections::BTreeMap<String, String>>);

#[cfg(test)]
impl Facts for Notes {
    fn get(&self, key: &str) -> Option<String> {
        self.0.lock().unwrap().get(key).cloned()
    }

    fn keep(&self, key: &str, value: &str) {
        self.0.lock().unwrap().insert(key.to_owned(), value.to_owned());
    }
}
