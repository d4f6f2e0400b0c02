// Package keys makes an output's settings of the keys that its user wrote in Fluent Bit's
// configuration.
//
// # How data flows
//
//	keys (account_name …) ─┐
//	environment ───────────┼─ core.Load ─► core.Config ─┐
//	defaults ──────────────┘                            ├─► Settings
//	keys of the output's own, templates ────────────────┘
//
// For each option the first of these that has it counts. The keys are those of
// core.Options, by the same names; the few of own; and those of Fluent Bit's built-in
// azure_blob output (builtIn), so that a configuration for that one works here: each of
// them is taken with its meaning, or does nothing and a note says why, or is refused
// where to ignore it would surprise.
//
// # What is guaranteed
//
// A plugin cannot list the keys that are set: it can only ask for one by its name, and
// Fluent Bit accepts any. So Load asks for the names that somebody may have meant a known
// key by (nearMisses), some 28,000 of them within 10 ms, and warns of each
// that is set.
//
// Fluent Bit puts the environment's ${NAME} into values before they are seen here.
//
// Errors, notes and warnings are one line, name a key as the user writes it, and show no
// credential. Settings are made without the network.
//
// # Who owns what
//
// Nobody: Load keeps nothing, and Settings are not changed by their methods.
package keys
