// strophe.js over BOSH on a real server, found by host-meta: login, chat with itself at another place, and a network
// that loses every seventh answer on its way. Nothing is lost, doubled or out of order.
// usage: node bosh.mjs LIAO_BINARY. Starts its own server on free ports of loopback in a temporary folder.
import { DOMParser } from '@xmldom/xmldom'
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const LIAO = process.argv[2]
const folder = mkdtempSync(join(tmpdir(), 'liao-bosh-'))
const data = join(folder, 'data')
// The server's certificate is its own; this process alone does not look at it.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
process.removeAllListeners('warning')
let steps = 0
const step = words => { steps += 1; console.log('  ok:', words) }
let answers = 0
let lossy = false

// What strophe needs of a browser, on top of fetch.
globalThis.XMLHttpRequest = class {
  readyState = 0
  status = 0
  responseText = ''
  responseXML = null
  #stop = new AbortController()
  #headers = {}

  open (method, url) { this.method = method; this.url = url; this.readyState = 1 }
  setRequestHeader (name, value) { this.#headers[name] = value }
  getAllResponseHeaders () { return '' }
  abort () { this.#stop.abort() }
  async send (body) {
    try {
      const answer = await fetch(this.url, { method: this.method, body, headers: this.#headers, signal: this.#stop.signal })
      const text = await answer.text()
      answers += 1
      if (lossy && answers % 7 === 0) throw new Error('lost')
      this.status = answer.status
      this.responseText = text
      this.responseXML = new DOMParser().parseFromString(text, 'text/xml')
    } catch { this.status = 0 }
    this.readyState = 4
    this.onreadystatechange?.()
  }
}
const { Strophe, $msg, $pres, $iq } = await import('strophe.js')
Strophe.setLogLevel(Strophe.LogLevel.FATAL)

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

const inTime = (promise, what) => {
  let timer
  const late = new Promise((_, failed) => { timer = setTimeout(() => failed(new Error(`too late: ${what}`)), 20_000) })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

class Person {
  constructor (name, service) {
    this.address = `${name}@localhost`
    this.password = `pw-${name}`
    this.heard = []
    this.link = new Strophe.Connection(service)
  }

  go (password = this.password) {
    const wanted = [Strophe.Status.CONNECTED, Strophe.Status.AUTHFAIL]
    return inTime(new Promise(done => {
      this.link.connect(this.address, password, status => {
        if (status === Strophe.Status.DISCONNECTED) this.left?.()
        if (!wanted.includes(status)) return
        this.link.addHandler(m => { this.heard.push(m); this.waits?.(); return true }, null, 'message')
        if (status === Strophe.Status.CONNECTED) this.link.send($pres())
        done(status)
      }, 10, 1)
    }), `${this.address} logs in`)
  }

  say (to, text) { this.link.send($msg({ to, type: 'chat' }).c('body').t(text)) }

  async next () {
    while (this.heard.length === 0) await inTime(new Promise(done => { this.waits = done }), `${this.address} waits for a message`)
    return this.heard.shift().getElementsByTagName('body')[0].textContent
  }

  leave () {
    const over = inTime(new Promise(done => { this.left = done }), `${this.address} leaves`)
    this.link.disconnect('bye')
    return over
  }
}

try {
  const meta = await (await fetch(`https://${addresses.https}/.well-known/host-meta.json`)).json()
  const service = meta.links.find(l => l.rel === 'urn:xmpp:alt-connections:xbosh').href
  const anna = new Person('anna', service)
  const ben = new Person('ben', service)
  for (const person of [anna, ben]) {
    if (await person.go() !== Strophe.Status.CONNECTED) throw new Error('not let in')
  }
  step(`found by host-meta and logged in over BOSH (${new URL(service).pathname})`)
  const sessions = `${spawnSync(LIAO, ['admin', '--data', data, 'sessions']).stdout}`
  if (sessions.split('\n').filter(l => l.includes('@localhost/')).length !== 2) throw new Error(sessions)
  for (const round of ['calm', 'lossy']) {
    lossy = round === 'lossy'
    for (const text of ['hello', '你好 <😀>', '大'.repeat(100_000)]) {
      anna.say(ben.address, text)
      const got = await ben.next()
      if (got !== text) throw new Error(`wanted ${text.slice(0, 20)}, got ${got.slice(0, 20)}`)
    }
    for (let n = 0; n < 100; n++) { anna.say(ben.address, `to ben ${n}`); ben.say(anna.address, `to anna ${n}`) }
    for (let n = 0; n < 100; n++) {
      const got = [await ben.next(), await anna.next()]
      if (got[0] !== `to ben ${n}` || got[1] !== `to anna ${n}`) throw new Error(`wanted ${n}, got ${got}`)
    }
    step(`short, Chinese, 300 kB and 200 messages in order, ${round}`)
  }
  lossy = false
  await ben.leave()
  for (let n = 0; n < 20; n++) anna.say(ben.address, `while away ${n}`)
  await inTime(new Promise(done => anna.link.sendIQ($iq({ type: 'get', to: 'localhost' }).c('ping', { xmlns: 'urn:xmpp:ping' }), done, done)), 'a ping')
  const again = new Person('ben', service)
  await again.go()
  for (let n = 0; n < 20; n++) {
    const got = await again.next()
    if (got !== `while away ${n}`) throw new Error(`wanted while away ${n}, got ${got}`)
  }
  step('20 messages kept while away, in order, once')
  if (await new Person('anna', service).go('nonsense') !== Strophe.Status.AUTHFAIL) throw new Error('let in')
  step('a wrong password is refused')
  await anna.leave()
  await again.leave()
  server.kill('SIGTERM')
  const code = await inTime(new Promise(done => server.on('exit', done)), 'the end')
  if (code !== 0) throw new Error(`the server ended with ${code}`)
  console.log(`${steps} steps passed`)
} finally {
  server.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
}
process.exit(0)
