//! Making a policy that fails a test as small as can be.

use super::super::{Address, Addresses, Policy, Selector};

/// Removes rules, members of lists, failsafe lines and sets, as long as the policy still `fails`.
pub fn shrink(policy: &Policy, fails: &mut dyn FnMut(&Policy) -> bool) -> Policy {
    let mut best = policy.clone();
    shorten(&mut best, &|policy| Some(&mut policy.rules), fails);
    shorten(&mut best, &|policy| Some(&mut policy.failsafe), fails);
    for number in 0..best.rules.len() {
        shorten_selector(&mut best, &|policy| policy.rules.get_mut(number).map(|rule| &mut rule.selector), fails);
    }
    for number in 0..best.failsafe.len() {
        shorten_selector(&mut best, &|policy| policy.failsafe.get_mut(number), fails);
    }
    for number in 0..best.defines.len() {
        shorten(&mut best, &|policy| policy.defines.get_mut(number).map(|define| &mut define.members), fails);
    }
    shorten(&mut best, &|policy| Some(&mut policy.defines), fails);
    best
}

fn shorten_selector(
    best: &mut Policy,
    selector: &dyn Fn(&mut Policy) -> Option<&mut Selector>,
    fails: &mut dyn FnMut(&Policy) -> bool,
) {
    shorten(best, &|policy| selector(policy).and_then(|selector| list(&mut selector.from.addresses)), fails);
    shorten(best, &|policy| selector(policy).and_then(|selector| list(&mut selector.to.addresses)), fails);
    shorten(best, &|policy| selector(policy).map(|selector| &mut selector.from.ports), fails);
    shorten(best, &|policy| selector(policy).map(|selector| &mut selector.to.ports), fails);
}

fn list(addresses: &mut Addresses) -> Option<&mut Vec<Address>> {
    match addresses {
        Addresses::List(list) => Some(list),
        Addresses::Any => None,
    }
}

/// Takes parts out of one list: halves first, then less and less.
fn shorten<T>(
    best: &mut Policy,
    list: &dyn Fn(&mut Policy) -> Option<&mut Vec<T>>,
    fails: &mut dyn FnMut(&Policy) -> bool,
) {
    let mut part = list(best).map_or(0, |list| list.len());
    while part > 0 {
        let mut at = 0;
        while at < list(best).map_or(0, |list| list.len()) {
            let mut less = best.clone();
            if let Some(list) = list(&mut less) {
                list.drain(at..list.len().min(at + part));
            }
            // A policy that makes no sense fails for another reason.
            if less.check().is_ok() && fails(&less) {
                *best = less;
            } else {
                at += part;
            }
        }
        part /= 2;
    }
}
