// Package blobname makes a blob's name of a chunk's tag and of each event in it, by a
// template that the user writes as the key path:
//
//	${HOSTNAME}/$TAG.log
//	$kubernetes['namespace_name']/$kubernetes['pod_name']/%Y-%m-%d.log
//
//	$TAG          the tag
//	$TAG[n]       a part of the tag between its dots, from 0; $TAG[-1] is the last
//	$name         a field of the record; letters, digits and _ belong to its name
//	$a['b']['c']  a field within fields; $['a-b'] one that has a - or a / in its name
//	${NAME}       an environment variable, when the template is parsed
//	%Y %m %d …    strftime's verbs, in UTC
//	$$ and %%     a dollar and a percent sign
//
// # How data flows
//
//	text ─ Parse ─► Template ─ Namer(tag) ─► Namer ─ Name(event) ─► a clean name
//	                   └──── Text(tag, event) ─► a value of metadata or of an index tag
//
// # What is guaranteed
//
// A name is made of the template, the tag and the event alone, and the time in it is the
// event's own: a chunk that is tried again, or comes again after a restart, gives the
// same names. Nothing of a value is read as a verb or a field.
//
// A name is always one that the service takes as it is (see core.CleanName, whose rules
// these are). A / of the template, of an environment variable and of a tag makes a
// folder; one in a record's field is data, and becomes %2F. Dots that could climb are
// written %2E. So a record cannot put itself into a folder that the template does not
// name. Different values give different names, as far as they are in the name.
//
// No part of a name is empty: the word unknown stands for a field that the record does
// not have, or that is null or an empty text, and for a part that the tag does not have.
// A / that begins a template is dropped. A part of the template itself that is empty (a//b,
// a/) is refused, because Fluent Bit puts nothing for a ${NAME} that is not set.
//
// # Who owns what
//
// A Template is not changed after Parse and may be used by many goroutines. A Namer is
// one goroutine's, for one chunk. It keeps nothing of an event but copies.
package blobname
