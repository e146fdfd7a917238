package xmpp

// AppendXML writes the stanza as it goes to a client, in a stream whose default
// namespace is jabber:client.
func (st *Stanza) AppendXML(b []byte) []byte { return st.appendXML(b, "") }

// declared is the namespace of a stanza that stands alone.
const declared = " xmlns='" + NSClient + "'"

// appendXML is AppendXML with something behind the name.
func (st *Stanza) appendXML(b []byte, behind string) []byte {
	name := st.Kind.String()
	b = append(append(append(b, '<'), name...), behind...)
	if !st.To.IsZero() {
		b = appendAttr(b, "to", st.To.s)
	}
	if !st.From.IsZero() {
		b = appendAttr(b, "from", st.From.s)
	}
	if st.ID != "" {
		b = appendAttr(b, "id", st.ID)
	}
	if st.Type != "" {
		b = appendAttr(b, "type", st.Type)
	}
	if st.Lang != "" {
		b = appendAttr(b, "xml:lang", st.Lang)
	}
	b = append(b, st.extra...)
	if len(st.inner) == 0 {
		return append(b, '/', '>')
	}
	b = append(b, '>')
	b = append(b, st.inner...)
	return append(append(append(b, '<', '/'), name...), '>')
}

// Element is the stanza as an element, to be put into another one (XEP-0297)
// or kept in a database.
func (st *Stanza) Element() *Element {
	return view(st.AppendXML(make([]byte, 0, st.size())), NSClient, nil)
}

// size is about how many bytes the stanza has as text, more rather than less.
func (st *Stanza) size() int {
	const names = len("<presence></presence> to='' from='' id='' type='' xml:lang=''") + len(declared)
	return names + len(st.To.s) + len(st.From.s) + len(st.ID) + len(st.Type) + len(st.Lang) + len(st.extra) + len(st.inner)
}

// XML is the stanza as text, declaring its namespace.
func (st *Stanza) XML() string { return str(st.appendXML(make([]byte, 0, st.size()), declared)) }

// String is the stanza as text, for tests, traces and debug logs.
func (st *Stanza) String() string {
	if st == nil {
		return "nothing"
	}
	return string(st.AppendXML(nil))
}
