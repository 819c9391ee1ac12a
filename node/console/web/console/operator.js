// What an operator may do, once the password was shown.
import { $, write } from '../js/dom.js';
import * as api from './api.js';

// Operator knows what may be done: `drain` and `kick` are true while their buttons are to be shown. It tells of `change`, and of
// what was `done` in words.
export class Operator extends EventTarget {
  drain = false;
  kick = false;
  #in = false;
  #act = null;

  constructor() {
    super();
    $('operate').addEventListener('click', () => this.#toggle());
    $('sign-in-form').addEventListener('submit', e => this.#signIn(e));
    $('confirm-form').addEventListener('submit', e => this.#do(e));
    for (const button of document.querySelectorAll('dialog [data-close]')) {
      button.addEventListener('click', () => button.closest('dialog').close());
    }
    $('sign-in').addEventListener('close', () => { $('password').value = ''; });
    this.ask();
  }

  // ask finds out what may be done now.
  async ask() {
    try {
      this.#set(await api.may());
    } catch {
      this.#set({ possible: false });
    }
  }

  // confirm asks whether something is really to be done, and does it.
  confirm({ title, text, label, act, done }) {
    write($('confirm-title'), title);
    write($('confirm-text'), text);
    write($('confirm-do'), label);
    $('confirm-error').hidden = true;
    this.#act = { act, done };
    $('confirm').showModal();
  }

  #set({ possible, in: isIn, drain, kick }) {
    this.#in = Boolean(isIn);
    this.drain = this.#in && drain;
    this.kick = this.#in && kick;
    $('operate').hidden = !possible;
    write($('operate').lastElementChild, this.#in ? 'Sign out' : 'Sign in');
    this.dispatchEvent(new Event('change'));
  }

  async #toggle() {
    if (!this.#in) {
      $('sign-in-error').hidden = true;
      return $('sign-in').showModal();
    }
    try {
      this.#set(await api.logout());
    } catch (err) {
      this.dispatchEvent(new CustomEvent('done', { detail: err.message }));
    }
  }

  async #signIn(event) {
    event.preventDefault();
    try {
      this.#set(await api.login($('password').value));
      $('sign-in').close();
    } catch (err) {
      write($('sign-in-error'), err.message);
      $('sign-in-error').hidden = false;
      $('password').select();
    }
  }

  async #do(event) {
    event.preventDefault();
    const { act, done } = this.#act;
    $('confirm-do').disabled = true;
    try {
      await act();
      $('confirm').close();
      this.dispatchEvent(new CustomEvent('done', { detail: done }));
    } catch (err) {
      write($('confirm-error'), err.message);
      $('confirm-error').hidden = false;
      if (err.status === 403) this.ask(); // the day is over
    } finally {
      $('confirm-do').disabled = false;
    }
  }
}
