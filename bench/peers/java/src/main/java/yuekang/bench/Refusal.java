package yuekang.bench;

/** An event is refused; {@code code} is the reason in dead letters: app/topics/codec.py. */
final class Refusal extends Exception {
  final String code;

  Refusal(String code) {
    super(code, null, false, false); // no stack trace: bad input is no exception to the machine
    this.code = code;
  }
}
