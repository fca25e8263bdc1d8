// Two @xmpp/client people over WebSocket on a real server: found by host-meta, friendship, presence, chat, and what
// was said while one was away.
// usage: node web.mjs LIAO_BINARY. Starts its own server on free ports of loopback in a temporary folder.
import { client, xml } from '@xmpp/client'
import { WebSocket } from 'ws'
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const LIAO = process.argv[2]
const folder = mkdtempSync(join(tmpdir(), 'liao-web-'))
const data = join(folder, 'data')
// The server's certificate is its own; this process alone does not look at it.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
process.removeAllListeners('warning')
globalThis.WebSocket = WebSocket
let steps = 0
const step = words => { steps += 1; console.log('  ok:', words) }

const listen = Object.fromEntries(['C2S', 'C2S_TLS', 'HTTP', 'HTTPS', 'SOCKETS'].map(n => [`LIAO_LISTEN_${n}`, '127.0.0.1:0']))
const server = spawn(LIAO, ['serve', '--data', data], { env: { ...process.env, ...listen }, stdio: ['ignore', 'pipe', 'inherit'] })
await new Promise((done, failed) => {
  server.stdout.on('data', text => { if (`${text}`.includes('certificate')) done() })
  server.on('exit', code => failed(new Error(`the server ended with ${code}`)))
})
server.removeAllListeners('exit')
const addresses = JSON.parse(readFileSync(join(data, 'addresses.json'), 'utf8'))
for (const name of ['anna', 'ben']) {
  const made = spawnSync(LIAO, ['admin', '--data', data, 'user', 'add', name, '--password-stdin'], { input: `pw-${name}` })
  if (made.status !== 0) throw new Error(`${made.stderr}`)
}

class Person {
  constructor (name, service) {
    this.address = `${name}@localhost`
    this.news = []
    this.waiting = []
    this.xmpp = client({ service, domain: 'localhost', username: name, password: `pw-${name}` })
    this.xmpp.on('error', error => { this.error = error })
    this.xmpp.on('stanza', stanza => { this.news.push(stanza); this.waiting.shift()?.() })
  }

  async go () {
    await this.xmpp.start()
    this.xmpp.reconnect.stop()
    await this.xmpp.send(xml('presence'))
  }

  // The first stanza for which `fits` holds; the others wait for whoever wants them.
  async until (fits, what) {
    const end = Date.now() + 10_000
    for (;;) {
      const at = this.news.findIndex(fits)
      if (at >= 0) return this.news.splice(at, 1)[0]
      let timer
      await new Promise((done, failed) => {
        this.waiting = [done]
        timer = setTimeout(() => failed(new Error(`${this.address} waits for ${what}; ${this.error ?? ''}`)), Math.max(1, end - Date.now()))
      })
      clearTimeout(timer)
    }
  }

  hears (text) {
    return this.until(s => s.is('message') && s.getChildText('body') === text, `a message (${text.slice(0, 30)})`)
  }

  async next () {
    const message = await this.until(s => s.is('message') && s.getChild('body'), 'a message')
    return message.getChildText('body')
  }

  say (to, text) {
    return this.xmpp.send(xml('message', { to, type: 'chat' }, xml('body', {}, text)))
  }

  presence (to, type) {
    return this.xmpp.send(xml('presence', { to, type }))
  }

  asked (by) {
    return this.until(s => s.is('presence') && s.attrs.type === 'subscribe' && s.attrs.from === by, 'a friend request')
  }

  sees (who) {
    return this.until(s => s.is('presence') && !s.attrs.type && s.attrs.from.startsWith(`${who}/`), `${who} online`)
  }
}

try {
  const meta = await (await fetch(`https://${addresses.https}/.well-known/host-meta.json`)).json()
  const link = meta.links.find(l => l.rel === 'urn:xmpp:alt-connections:websocket')
  const service = link.href
  const anna = new Person('anna', service)
  let ben = new Person('ben', service)
  await anna.go()
  await ben.go()
  step(`found by host-meta and logged in over WebSocket (${new URL(service).pathname})`)
  await anna.presence(ben.address, 'subscribe')
  await ben.asked(anna.address)
  await ben.presence(anna.address, 'subscribed')
  await ben.presence(anna.address, 'subscribe')
  await anna.asked(ben.address)
  await anna.presence(ben.address, 'subscribed')
  await ben.sees(anna.address)
  await anna.sees(ben.address)
  step('friends, and they see each other')
  for (const text of ['hello', '你好 😀👨‍👩‍👧', '大'.repeat(256 * 1024 / 3)]) {
    await anna.say(ben.address, text)
    await ben.hears(text)
  }
  for (let n = 0; n < 500; n++) await ben.say(anna.address, `line ${n}`)
  for (let n = 0; n < 500; n++) {
    const got = await anna.next()
    if (got !== `line ${n}`) throw new Error(`wanted line ${n}, got ${got}`)
  }
  step('short, Chinese, 256 KiB and 500 messages, in order')
  await ben.xmpp.stop()
  await anna.until(s => s.is('presence') && s.attrs.type === 'unavailable', 'Ben to go')
  for (let n = 0; n < 100; n++) await anna.say(ben.address, `while away ${n}`)
  await anna.xmpp.iqCaller.request(xml('iq', { type: 'get', to: ben.address }, xml('ping', 'urn:xmpp:ping'))).catch(() => {})
  ben = new Person('ben', service)
  await ben.go()
  for (let n = 0; n < 100; n++) {
    const got = await ben.next()
    if (got !== `while away ${n}`) throw new Error(`wanted while away ${n}, got ${got}`)
  }
  step('100 messages kept while away, in order, once')
  const impostor = client({ service, domain: 'localhost', username: 'anna', password: 'nonsense' })
  impostor.on('error', () => {})
  const refused = await impostor.start().then(() => 'let in', error => error.condition)
  impostor.reconnect.stop()
  await impostor.stop().catch(() => {})
  if (refused !== 'not-authorized') throw new Error(`a wrong password: ${refused}`)
  step('a wrong password is refused as not-authorized')
  await Promise.all([anna.xmpp.stop(), ben.xmpp.stop()])
  server.kill('SIGTERM')
  const code = await new Promise(done => server.on('exit', done))
  if (code !== 0) throw new Error(`the server ended with ${code}`)
  console.log(`${steps} steps passed`)
} finally {
  server.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
}
process.exit(0)
