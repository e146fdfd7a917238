package stream_test

import "strings"

// header is what a client opens a stream with.
const header = `<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='example.com' version='1.0' xml:lang='en'>`

// stanzas are what clients and servers say to each other all day.
var stanzas = []string{
	// Keep-alives and stream management.
	`<r xmlns='urn:xmpp:sm:3'/>`,
	`<a xmlns='urn:xmpp:sm:3' h='1729'/>`,
	`<iq from='romeo@example.com/garden' id='ping-4711' to='example.com' type='get'><ping xmlns='urn:xmpp:ping'/></iq>`,
	// Chat.
	`<message to='juliet@example.com/balcony' from='romeo@example.com/garden' id='b7c3f6de-0a1c-4d5e-9b8e-1f7f3b1a2c4d' type='chat' xml:lang='en'><body>Wherefore art thou, Juliet? I have been waiting below your window for an hour &amp; it is getting cold.</body><active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/><markable xmlns='urn:xmpp:chat-markers:0'/><origin-id xmlns='urn:xmpp:sid:0' id='b7c3f6de-0a1c-4d5e-9b8e-1f7f3b1a2c4d'/></message>`,
	`<message to="juliet@example.com" type="chat" id="c1"><composing xmlns="http://jabber.org/protocol/chatstates"/><no-store xmlns="urn:xmpp:hints"/></message>`,
	`<message from='julia@example.com/phone' to='romeo@example.com' id='q81' type='chat'><body>Я буду там в восемь, не опаздывай. Возьми с собой зонт — обещали дождь 🌧</body><thread>e0ffe42b28561960c6b12b944a092794b9683a38</thread></message>`,
	`<message from='juliet@example.com/balcony' to='romeo@example.com' id='r5' type='chat'><received xmlns='urn:xmpp:receipts' id='b7c3f6de-0a1c-4d5e-9b8e-1f7f3b1a2c4d'/><store xmlns='urn:xmpp:hints'/></message>`,
	// Encrypted with OMEMO.
	`<message to='juliet@example.com' from='romeo@example.com/garden' id='om1' type='chat'><encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='27183'><key rid='31415'>MwohBfRqBm2atj3fT0/KUDg59Cnvfpgoe/PLNIu1xgSXujEZEAAYACIwKh6TTC7VBQZcCcKnQlO+6s1GQ9DIRKH4JU7XrJ+JJnkPUwJ4VLSeOEQD7HmFbhQPTLZO0u/qlng=</key><key prekey='true' rid='12321'>MwohBVeXdBUy2mZ8ocPzgcHMFgUs41tTj0rzD3jmcCnhu1FIEAAYASIw2VBYwcZDnTHvzZ8kOyDjAaQ=</key><iv>BASE64ENCODEDIV0a</iv></header><payload>WXYzRkpNaVFydWdlcnR6dW1wZWxzdGlsemNoZW4vdGhlbW9vbg==</payload></encrypted><encryption xmlns='urn:xmpp:eme:0' name='OMEMO' namespace='eu.siacs.conversations.axolotl'/><body>This message is encrypted with OMEMO and your client does not support it.</body><store xmlns='urn:xmpp:hints'/></message>`,
	// Carbons, archive.
	`<message from='romeo@example.com' to='romeo@example.com/home' type='chat'><sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' to='juliet@example.com' from='romeo@example.com/garden' type='chat' id='x1'><body>What man art thou that, thus bescreen'd in night, so stumblest on my counsel?</body><thread>0e3141cd80894871a68e6fe6b1ec56fa</thread></message></forwarded></sent></message>`,
	`<message id='aeb213' to='juliet@example.com/chamber'><result xmlns='urn:xmpp:mam:2' queryid='f27' id='28482-98726-73623'><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='2010-07-10T23:08:25Z'/><message xmlns='jabber:client' to='juliet@example.com/balcony' from='romeo@example.net/orchard' type='chat'><body>Call me but love, and I'll be new baptized; Henceforth I never will be Romeo.</body></message></forwarded></result></message>`,
	`<iq type='set' id='juliet1'><query xmlns='urn:xmpp:mam:2' queryid='f27'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value></field><field var='start'><value>2010-06-07T00:00:00Z</value></field><field var='with'><value>romeo@example.net</value></field></x><set xmlns='http://jabber.org/protocol/rsm'><max>50</max><before/></set></query></iq>`,
	`<iq type='result' id='juliet1'><fin xmlns='urn:xmpp:mam:2' complete='true'><set xmlns='http://jabber.org/protocol/rsm'><first index='0'>28482-98726-73623</first><last>09af3-cc343-b409f</last><count>20</count></set></fin></iq>`,
	// Presence.
	`<presence from='romeo@example.com/garden' to='juliet@example.com'><show>away</show><status>In the orchard, thinking</status><priority>5</priority><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='http://conversations.im' ver='QgayPKawpkPSDYmwT/WM94uAlu0='/><x xmlns='vcard-temp:x:update'><photo>9a3c1f0b7d5e2a4c6b8d0f1e3a5c7b9d1f3e5a7c</photo></x><idle xmlns='urn:xmpp:idle:1' since='2026-11-22T12:04:11Z'/></presence>`,
	`<presence from='chat@conference.example.com/Mercutio' to='romeo@example.com/garden'><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='member' role='participant' jid='mercutio@example.com/sword'/><status code='110'/></x><occupant-id xmlns='urn:xmpp:occupant-id:0' id='dd72603deec90a38ba552f7c68cbcc61bca202cd'/></presence>`,
	`<message from='chat@conference.example.com/Mercutio' to='romeo@example.com/garden' type='groupchat' id='gc-88'><body>A plague o' both your houses! They have made worms' meat of me &lt;:-(</body><stanza-id xmlns='urn:xmpp:sid:0' id='5f3dbc5e-e1d3-4077-a492-693f3769c7ad' by='chat@conference.example.com'/><occupant-id xmlns='urn:xmpp:occupant-id:0' id='dd72603deec90a38ba552f7c68cbcc61bca202cd'/></message>`,
	// Roster, disco, pubsub, upload.
	`<iq to='romeo@example.com/garden' type='result' id='roster1'><query xmlns='jabber:iq:roster' ver='ver11'>` + roster() + `</query></iq>`,
	`<iq type='result' id='info1' from='example.com' to='romeo@example.com/garden'><query xmlns='http://jabber.org/protocol/disco#info'><identity category='server' type='im' name='ejabberd'/><identity category='pubsub' type='pep'/><feature var='http://jabber.org/protocol/commands'/><feature var='http://jabber.org/protocol/disco#info'/><feature var='http://jabber.org/protocol/disco#items'/><feature var='http://jabber.org/protocol/pubsub'/><feature var='http://jabber.org/protocol/pubsub#publish'/><feature var='iq'/><feature var='presence'/><feature var='urn:xmpp:blocking'/><feature var='urn:xmpp:carbons:2'/><feature var='urn:xmpp:mam:2'/><feature var='urn:xmpp:ping'/><feature var='vcard-temp'/></query></iq>`,
	`<message from='romeo@example.com' to='juliet@example.com/balcony' type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'><items node='eu.siacs.conversations.axolotl.devicelist'><item id='current'><list xmlns='eu.siacs.conversations.axolotl'><device id='27183'/><device id='31415'/><device id='12321'/></list></item></items></event><addresses xmlns='http://jabber.org/protocol/address'><address type='replyto' jid='romeo@example.com/garden'/></addresses></message>`,
	`<iq from='upload.example.com' id='step_03' to='romeo@example.com/garden' type='result'><slot xmlns='urn:xmpp:http:upload:0'><put url='https://upload.example.com/4a771ac1-f0b2-4a4a-9700-f2a26fa2bb67/tr%C3%A8s%20cool.jpg'><header name='Authorization'>Basic Base64String==</header><header name='Cookie'>foo=bar; user=romeo</header></put><get url='https://download.example.com/4a771ac1-f0b2-4a4a-9700-f2a26fa2bb67/tr%C3%A8s%20cool.jpg'/></slot></iq>`,
}

func roster() string {
	var b strings.Builder
	for _, who := range []string{"juliet", "mercutio", "benvolio", "tybalt", "nurse", "laurence", "rosaline", "paris"} {
		b.WriteString(`<item jid='` + who + `@example.com' name='` + strings.ToUpper(who[:1]) + who[1:] + `' subscription='both'><group>Verona</group></item>`)
	}
	return b.String()
}
