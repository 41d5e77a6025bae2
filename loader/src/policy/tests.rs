use super::*;
use proptest::prelude::*;
proptest! {
    #[test]
    fn printed_text_parses_to_the_same_policy(policy in arbitrary::policy()) {
        let text = policy.to_string();
        let parsed = parse("printed", &text);
        prop_assert_eq!(parsed.map_err(|e| e.to_string()), Ok(policy.clone()), "{}", text);
    }
}
