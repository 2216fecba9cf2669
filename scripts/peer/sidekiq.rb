# One workload on Sidekiq, for scripts/peer.sh; the same as bullmq.mjs does on BullMQ.
#
#   ruby sidekiq.rb SOCKET WORKLOAD SECONDS ROLES
#
# Processes of the role `add` enqueue from 64 threads; those that `work` have as many threads as Sidekiq starts by default.
require 'json'
require 'sidekiq/cli' # for its own worker processes, which it tells by this
require 'sidekiq/launcher'

SOCKET, WORKLOAD, SECONDS, ROLES = ARGV
AT_ONCE = 64
PAYLOAD_BYTES = 146
BATCH = 100
WAKE_PER_S = 200
WARM_UP_S = 2
# How often processes tell each other how far they are.
TELL_S = 0.01
# Jobs that wait at most: adds and work keep pace. Half of them stand there before.
STANDING = 2_000

WORKS = !WORKLOAD.start_with?('enqueue')
ADDS = WORKLOAD.end_with?('-batch') ? BATCH : 1
ADDERS = ROLES.split(',').count { |role| role != 'work' }

def now_us = Process.clock_gettime(Process::CLOCK_MONOTONIC, :microsecond)

# Like those of `ranq bench`: when it was sent, and a filling.
def payload(fill = FILL) = { 'sent_us' => format('%020d', now_us), 'fill' => fill }
FILL = 'x' * (PAYLOAD_BYTES - JSON.generate(payload('')).size)

class Job
  include Sidekiq::Worker
  LOCK = Mutex.new
  LATENCIES = []
  @done = 0
  class << self
    attr_accessor :done
  end

  def perform(payload)
    waited = now_us - payload['sent_us'].to_i
    LOCK.synchronize do
      LATENCIES << waited if WORKLOAD == 'wake'
      Job.done += 1
    end
  end
end

def connect
  # No line in the log for each job, and none for what it calls by an older name.
  Sidekiq.logger.level = Logger::WARN
  Redis.silence_deprecations = true
  redis = { path: SOCKET, size: AT_ONCE + 20 }
  Sidekiq.configure_server { |config| config.redis = redis }
end

def add_some
  return Job.perform_async(payload) if ADDS == 1

  Sidekiq::Client.push_bulk('class' => Job, 'args' => Array.new(BATCH) { [payload] })
end

# A process with a role: tells what it has added and done, and hears what all have done together.
class Role
  def initialize(role, heard, told)
    connect
    @role, @heard, @told = role, heard, told
    @begun = @added = @all_done = 0
    @lock = Mutex.new
    @more = ConditionVariable.new
  end

  def run
    Sidekiq::Launcher.new(Sidekiq.options.merge(queues: ['default'])).run if WORKS && @role != 'add'
    while (line = @heard.gets)
      verb, value = line.split
      case verb
      when 'begin' then begin_all
      when 'measure' then Job::LOCK.synchronize { Job::LATENCIES.clear }
      when 'all' then @lock.synchronize { @all_done = value.to_i; @more.broadcast }
      when 'tell' then tell
      end
    end
    exit!(0)
  end

  private

  def begin_all
    Thread.new { loop { sleep TELL_S; say "count #{@added} #{Job.done}" } }
    return if @role == 'work'
    return Thread.new { add_at_the_rate } if WORKLOAD == 'wake'

    (AT_ONCE / ADDERS).times { Thread.new { add_on_and_on } }
  end

  def add_on_and_on
    loop do
      @lock.synchronize do
        @more.wait(@lock) until room?
        @begun += ADDS
      end
      add_some
      @lock.synchronize { @added += ADDS }
    end
  end

  def room? = !WORKS || @begun * ADDERS - @all_done < STANDING / 2

  def add_at_the_rate
    start = now_us
    (0..).each do |number|
      sleep [0, (start + number * 1_000_000 / WAKE_PER_S - now_us) / 1e6].max
      add_some
    end
  end

  def tell
    latencies = Job::LATENCIES.sort
    return if latencies.empty?

    p50, p99 = [0.5, 0.99].map { |part| latencies[(part * latencies.size).ceil - 1] / 1000.0 }
    say format('told %.2f %.2f', p50, p99)
  end

  def say(line)
    @lock.synchronize { @told.puts line }
  end
end

# The process that starts the others and reads their counts.
class Child
  attr_reader :pid, :added, :done, :told

  def initialize(role)
    heard, @say = IO.pipe
    @told_by, telling = IO.pipe
    @added = @done = 0
    @pid = fork do
      # What belongs to the children before it and to the parent.
      ObjectSpace.each_object(IO) { |io| io.close if !io.closed? && io.fileno > 2 && ![heard, telling].include?(io) }
      [heard, telling].each { |io| io.sync = true }
      Role.new(role, heard, telling).run
    end
    [heard, telling].each(&:close)
    @say.sync = true
    Thread.new { listen }
  end

  def say(line) = @say.puts(line)

  private

  def listen
    while (line = @told_by.gets)
      verb, first, second = line.split
      if verb == 'told' then @told = "#{first} #{second}" else @added, @done = first.to_i, second.to_i end
    end
    abort 'a process ended' unless $ending
  end
end

if WORKS && WORKLOAD != 'wake'
  filler = fork do
    connect
    (STANDING / 2 / BATCH).times { Sidekiq::Client.push_bulk('class' => Job, 'args' => Array.new(BATCH) { [payload] }) }
  end
  Process.wait(filler)
end
children = ROLES.split(',').map { |role| Child.new(role) }
tell = ->(line) { children.each { |child| child.say(line) } }
totals = -> { [children.sum(&:added), children.sum(&:done)] }
tell.call('begin')
telling = Thread.new { loop { tell.call("all #{totals.call.last}"); sleep TELL_S } }
sleep WARM_UP_S
tell.call('measure')
begin_us, before = now_us, totals.call
sleep SECONDS.to_f
elapsed = (now_us - begin_us) / 1e6
added, done = totals.call.zip(before).map { |after, was| after - was }
tell.call('tell')
sleep TELL_S until WORKLOAD != 'wake' || children.any?(&:told)
$ending = true
telling.kill.join
children.each { |child| Process.kill('KILL', child.pid) }
children.each { |child| Process.wait(child.pid) }
puts WORKLOAD == 'wake' ? children.map(&:told).compact.first : ((WORKS ? [added, done].min : added) / elapsed).round
exit!(0) if $stdout.flush
