//! How operators' wishes reach the controllers, whichever run at that moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::admin::{AskCost, AskScale, ScaleAnswer, ScaleWish};
use crate::net::current::Current;
use crate::scaling::controller::{Asks, Scaled, Wish};

type Asked = Arc<Current<BTreeMap<String, Asks>>>;

pub(super) fn ask_scale(asked: Asked) -> AskScale {
    Arc::new(move |wish: ScaleWish| {
        let asks = asked.get().get(&wish.pool).cloned();
        Box::pin(async move {
            let asks = asks.ok_or_else(|| format!("there is no pool named {}", wish.pool))?;
            let Scaled { steps, notes } = asks
                .scale(Wish {
                    machines: wish.machines,
                    hold: wish.hold,
                    is_dry_run: wish.is_dry_run,
                    by: wish.by,
                })
                .await?;
            Ok(ScaleAnswer { steps, notes })
        })
    })
}

pub(super) fn ask_cost(asked: Asked) -> AskCost {
    Arc::new(move || {
        let asks: Vec<_> = asked.get().values().cloned().collect();
        Box::pin(async move {
            let mut costs = Vec::new();
            for one in asks {
                costs.extend(one.cost().await);
            }
            costs
        })
    })
}
