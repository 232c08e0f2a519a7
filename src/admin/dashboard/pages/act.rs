//! The page between a click and an order: what will happen, and what is to be said about it.

use askama::Template;
use serde::Deserialize;

use super::super::scene::{Scene, Viewer};
use super::super::words::{count, counted, plain};
use super::{machine_path, machines, markup, person_path};
use crate::pool::{AdminState, Health, InstanceView, SessionView};

/// The orders that are given by form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    Cordon,
    Uncordon,
    Drain,
    Keep,
    Evict,
    Move,
    Notice,
    Scale,
}

/// What a page for an order is asked with, and what its form sends back.
#[derive(Clone, Debug, Deserialize)]
pub struct Form {
    pub order: Order,
    /// `POOL/NAME`, here and below empty where it is of another kind.
    #[serde(default)]
    pub instance: String,
    #[serde(default)]
    pub session: String,
    /// A person by name, in `pool`.
    #[serde(default)]
    pub user: String,
    #[serde(default)]
    pub pool: String,
    #[serde(default)]
    pub reason: String,
    #[serde(default)]
    pub text: String,
    #[serde(default)]
    pub until: String,
    #[serde(default)]
    pub deadline_s: String,
    #[serde(default)]
    pub machines: String,
    /// Where somebody is moved to, as `POOL/NAME`.
    #[serde(default)]
    pub to: String,
    /// Not empty: what they have elsewhere is ended.
    #[serde(default)]
    pub now: String,
    #[serde(default)]
    pub hold_s: String,
}

/// Times to choose from, in seconds and in words.
const DEADLINES: [(&str, &str); 7] = [
    ("", "none, or the one that stands"),
    ("900", "in 15 minutes"),
    ("1800", "in 30 minutes"),
    ("3600", "in 1 hour"),
    ("14400", "in 4 hours"),
    ("28800", "in 8 hours"),
    ("86400", "in 24 hours"),
];
const HOLDS: [(&str, &str); 5] = [
    ("3600", "1 hour"),
    ("7200", "2 hours"),
    ("14400", "4 hours"),
    ("28800", "8 hours"),
    ("86400", "24 hours"),
];

#[derive(Template)]
#[template(path = "act.html")]
struct Body<'a> {
    title: String,
    /// What will happen.
    effects: Vec<String>,
    form: &'a Form,
    order: &'static str,
    csrf: Option<&'a str>,
    button: &'static str,
    back: String,
    fault: Option<&'a str>,
    deadlines: &'static [(&'static str, &'static str)],
    holds: &'static [(&'static str, &'static str)],
    /// To choose from: the value, and what is said of it.
    places: Vec<(String, String)>,
    steps: Vec<String>,
}

impl Order {
    fn word(self) -> &'static str {
        match self {
            Self::Cordon => "cordon",
            Self::Uncordon => "uncordon",
            Self::Drain => "drain",
            Self::Keep => "keep",
            Self::Evict => "evict",
            Self::Move => "move",
            Self::Notice => "notice",
            Self::Scale => "scale",
        }
    }

    fn button(self) -> &'static str {
        match self {
            Self::Cordon => "Cordon it",
            Self::Uncordon => "Uncordon it",
            Self::Drain => "Drain it",
            Self::Keep => "Keep it",
            Self::Evict => "End the session",
            Self::Move => "Move them",
            Self::Notice => "Send the notice",
            Self::Scale => "Order it",
        }
    }
}

/// What an order is about.
enum Target<'a> {
    Machine(&'a InstanceView),
    Session(&'a SessionView),
    Person { user: &'a str, pool: &'a str },
    Pool(&'a str),
    Everybody,
}

impl Form {
    fn target<'a>(&'a self, scene: &'a Scene) -> Result<Target<'a>, String> {
        if !self.instance.is_empty() {
            let (pool, name) = self.instance.split_once('/').unwrap_or_default();
            let view = scene.snapshot.instance(pool, name);
            return view
                .map(Target::Machine)
                .ok_or_else(|| format!("There is no machine {} now.", plain(&self.instance)));
        }
        if !self.session.is_empty() {
            let id = self.session.parse().ok();
            let view = id.and_then(|id| scene.snapshot.session(id));
            return view
                .map(Target::Session)
                .ok_or_else(|| "This session has ended already.".to_owned());
        }
        let pool = scene.snapshot.pool(&self.pool);
        match (self.order, pool) {
            (Order::Scale, Some(pool)) => Ok(Target::Pool(&pool.name)),
            (Order::Move, Some(pool)) if !self.user.is_empty() => Ok(Target::Person {
                user: &self.user,
                pool: &pool.name,
            }),
            (Order::Notice, _) => Ok(Target::Everybody),
            _ => Err("This says neither which machine nor which session.".to_owned()),
        }
    }

    /// Where people go afterwards.
    pub fn back(&self, scene: &Scene) -> String {
        match self.target(scene) {
            Ok(Target::Machine(view)) => machine_path(&view.pool, &view.name),
            // Where they go from here on is what is asked next.
            Ok(Target::Session(view)) if self.order == Order::Move => match &view.user {
                Some(user) => person_path(user, &view.pool),
                None => "/sessions".to_owned(),
            },
            Ok(Target::Person { user, pool }) => person_path(user, pool),
            Ok(Target::Session(_) | Target::Everybody) => "/sessions".to_owned(),
            Ok(Target::Pool(_)) => "/".to_owned(),
            Err(_) if !self.session.is_empty() => "/sessions".to_owned(),
            Err(_) => "/machines".to_owned(),
        }
    }
}

/// `steps`: what a dry run found. `fault`: why the order was not carried out.
///
/// # Errors
/// What the order is about is not there (any more), in words.
pub fn body(
    scene: &Scene,
    viewer: &Viewer,
    form: &Form,
    steps: Vec<String>,
    fault: Option<&str>,
) -> Result<String, String> {
    let target = form.target(scene)?;
    let (title, effects) = match (form.order, &target) {
        (Order::Cordon, Target::Machine(view)) => cordon(view),
        (Order::Uncordon, Target::Machine(view)) => uncordon(view),
        (Order::Drain, Target::Machine(view)) => drain(view),
        (Order::Keep, Target::Machine(view)) => keep(view),
        (Order::Evict, Target::Session(view)) => evict(view),
        (Order::Move, Target::Session(view)) => match &view.user {
            Some(user) => moving(user),
            None => return Err("Nobody has logged in on this session yet.".to_owned()),
        },
        (Order::Move, Target::Person { user, .. }) => moving(user),
        (Order::Notice, target) => notice(scene, target),
        (Order::Scale, Target::Pool(pool)) => scale(scene, pool),
        _ => return Err("This order is not for that.".to_owned()),
    };
    Ok(markup(&Body {
        title,
        effects,
        form,
        order: form.order.word(),
        csrf: viewer.csrf.as_deref(),
        button: form.order.button(),
        back: form.back(scene),
        fault,
        deadlines: &DEADLINES,
        holds: &HOLDS,
        places: match &target {
            Target::Session(view) => places(scene, &view.pool, Some(&view.instance)),
            Target::Person { pool, .. } => places(scene, pool, None),
            _ => Vec::new(),
        },
        steps,
    }))
}

type Told = (String, Vec<String>);

fn going_on(view: &InstanceView) -> String {
    match view.sessions {
        0 => "Nobody is on it.".to_owned(),
        sessions => format!("{} on it go on.", counted(u64::from(sessions), "session")),
    }
}

fn cordon(view: &InstanceView) -> Told {
    let effects = vec![
        "Nobody new is sent there. Whoever works there comes back to it.".to_owned(),
        going_on(view),
        "The policy neither drains nor removes it until it is uncordoned.".to_owned(),
    ];
    (format!("Cordon {}", plain(&view.name)), effects)
}

fn uncordon(view: &InstanceView) -> Told {
    let mut effects = vec!["People are sent there again.".to_owned()];
    if let Some(reason) = &view.reason {
        effects.push(format!("It was closed because: {}", plain(reason)));
    }
    (format!("Uncordon {}", plain(&view.name)), effects)
}

fn drain(view: &InstanceView) -> Told {
    let effects = vec![
        "Nobody new is sent there, and its people are told the reason.".to_owned(),
        going_on(view),
        "With a deadline, the sessions that are left then are ended.".to_owned(),
    ];
    (format!("Drain {}", plain(&view.name)), effects)
}

fn keep(view: &InstanceView) -> Told {
    let effects = vec![
        "The policy leaves it alone until then. Write a time such as 18:00, a span such as 2h, or off.".to_owned(),
    ];
    (format!("Keep {}", plain(&view.name)), effects)
}

fn evict(view: &SessionView) -> Told {
    let user = plain(view.user.as_deref().unwrap_or("nobody known"));
    let effects = vec![
        format!(
            "The {} session of {user} on {} ends now; they are told the reason.",
            view.protocol,
            plain(&view.instance)
        ),
        "What runs in its terminals ends with it, unless it was left in tmux or the like."
            .to_owned(),
    ];
    (format!("End the session of {user}"), effects)
}

fn moving(user: &str) -> Told {
    let user = plain(user);
    let effects = vec![
        format!("The next login of {user}, and the next page they go to, land on the machine that is chosen."),
        "What runs cannot be moved: sessions elsewhere go on, unless they are to end now. Their people are told the reason."
            .to_owned(),
    ];
    (format!("Move {user}"), effects)
}

/// The machines somebody may be sent to, but for the one they are on.
fn places(scene: &Scene, pool: &str, but: Option<&str>) -> Vec<(String, String)> {
    let asked = machines::Asked {
        pool: pool.to_owned(),
        ..machines::Asked::default()
    };
    let found = machines::select(scene, &asked).into_iter();
    let takes_people = |view: &&InstanceView| {
        view.admin_state == AdminState::Ready
            && view.health != Health::Down
            && !view.is_sealed
            && but != Some(&*view.name)
    };
    let place = |view: &InstanceView| {
        let (name, taken) = (plain(&view.name), count(u64::from(view.load)));
        let words = format!(
            "{name}: {taken} of {} seats taken",
            count(u64::from(view.capacity))
        );
        (format!("{}/{}", view.pool, view.name), words)
    };
    found.filter(takes_people).map(place).collect()
}

fn notice(scene: &Scene, target: &Target<'_>) -> Told {
    let (whom, sessions) = match target {
        Target::Machine(view) => (
            format!("the people on {}", plain(&view.name)),
            view.sessions,
        ),
        Target::Session(view) => {
            let user = view.user.as_deref().unwrap_or("whoever logs in");
            (plain(user), 1)
        }
        Target::Person { user, .. } => (plain(user), 0),
        Target::Pool(_) | Target::Everybody => {
            let sessions = scene.snapshot.sessions.len();
            (
                "everybody".to_owned(),
                u32::try_from(sessions).unwrap_or(u32::MAX),
            )
        }
    };
    let effects = vec![format!(
        "It is shown in the terminals and browsers of {}.",
        counted(u64::from(sessions), "session")
    )];
    (format!("A notice to {whom}"), effects)
}

fn scale(scene: &Scene, pool: &str) -> Told {
    let view = scene.snapshot.pool(pool);
    let there = view.map_or(0, |view| view.instances);
    let effects = vec![
        format!(
            "At least so many machines for a while; there are {}.",
            count(u64::from(there))
        ),
        "What is beyond that, and beyond what people need, is drained. Nobody's session ends."
            .to_owned(),
    ];
    (format!("A number of machines for {}", plain(pool)), effects)
}
