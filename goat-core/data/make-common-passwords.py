#!/usr/bin/env python3
"""Makes common-passwords.zz, the list of passwords that goat refuses. See README.md beside it.

    pip download --no-deps django==5.2.19
    npm pack @zxcvbn-ts/language-common@4.1.3
    python3 make-common-passwords.py django-*.whl zxcvbn-ts-language-common-*.tgz

The output depends on nothing but the two inputs and this file.
"""

import gzip
import json
import pathlib
import sys
import tarfile
import zipfile
import zlib

# Where a password must reach a length, people stop soon after it.
LENGTHS = range(15, 21)

PHRASES = """
a bird in the hand; a day without sunshine; a game of thrones; a new hope star wars
a penny for your thoughts; a picture is worth a thousand words; a star is born again
abandon all hope ye who enter here; actions speak louder than words; admin admin admin
administrator password; all for one and one for all; all good things come to an end
all i want for christmas is you; all my loving beatles; all that glitters is not gold
all you need is love; all your base are belong to us; always look on the bright side of life
always and forever; amazing grace how sweet the sound; an apple a day keeps the doctor away
and they lived happily ever after; another brick in the wall; another one bites the dust
as you wish princess bride; ashes to ashes dust to dust; ask and you shall receive
avengers assemble; baby one more time; back in black acdc; back to the future
bad to the bone; battery horse staple correct; be the change you wish to see
beam me up scotty; beauty and the beast; beauty is in the eye of the beholder
better late than never; better safe than sorry; big brother is watching you
black sabbath paranoid; blessed are the meek; blood is thicker than water
bohemian rhapsody; born in the usa; born to be wild; bridge over troubled water
call me ishmael; call of duty black ops; can you hear me now; carpe diem seize the day
change me please; change this password; changeme changeme; chelsea football club
christ is risen; cogito ergo sum; come as you are nirvana; correct battery horse staple
correct horse; correct horse battery; correct horse battery staple
correct horse battery stapler; correct horse staple battery; curiosity killed the cat
dallas cowboys; dance like nobody is watching; dark side of the moon; de gustibus non disputandum
deep in the heart of texas; default password; do not enter please; do or do not there is no try
do unto others; do you believe in magic; dont forget the password; dont go breaking my heart
dont stop believing; dont worry be happy; dream a little dream; easy come easy go
eat sleep code repeat; elementary my dear watson; enter sandman metallica; enter the dragon
every breath you take; every cloud has a silver lining; every rose has its thorn
everything happens for a reason; expecto patronum; family is everything
fear and loathing in las vegas; fear is the mind killer; fight club rules; fly me to the moon
follow the white rabbit; follow the yellow brick road; for the love of god; for whom the bell tolls
forever and always; forget me not forever; four score and seven years ago
frankly my dear i dont give a damn; friends forever; game of thrones; get rich or die trying
girls just want to have fun; give me liberty or give me death; give peace a chance
glory glory man united; go ahead make my day; god bless america; god bless you
god is good all the time; god is great; god is love forever; god save the king
god save the queen; gone with the wind; good morning vietnam; good morning world
good things come to those who wait; great expectations; guns and roses; hail mary full of grace
hakuna matata; happy birthday to you; happy ever after; happy new year; harry potter
have a nice day; have you ever seen the rain; hello darkness my old friend; hello its me again
hello my name is; hello password; hello world; hello world hello; here comes the sun
here we go again; highway to hell; hit me baby one more time; home is where the heart is
home sweet home; honesty is the best policy; hotel california; houston we have a problem
how are you today; how i met your mother; i am a password; i am batman; i am groot i am groot
i am iron man; i am legend; i am number one; i am the best; i am the king of the world
i am the walrus; i am who i am; i am your father; i believe i can fly; i can do all things
i cant get no satisfaction; i cant remember my password; i do not know; i dont care anymore
i dont know what to type; i forgot my password; i hate passwords; i hate this job
i hate you so much; i have a dream; i have no idea; i have spoken mandalorian
i heard it through the grapevine; i just called to say i love you; i kissed a girl
i know what you did last summer; i like big butts; i like big butts and i cannot lie; i like pie
i like to move it; i like turtles; i love cats and dogs; i love god; i love jesus
i love my baby; i love my cat; i love my daughter; i love my dog; i love my family
i love my husband; i love my kids; i love my life; i love my mom; i love my mother
i love my son; i love my wife; i love new york; i love pizza; i love rock and roll
i love you; i love you 3000; i love you baby; i love you forever; i love you more
i love you mom; i love you so much; i love you to the moon and back; i love you too
i miss you so much; i need a password; i need you now; i see dead people; i shot the sheriff
i solemnly swear that i am up to no good; i think therefore i am; i want it that way
i want to believe; i want to hold your hand; i will always love you; i will follow him
i will survive; ich bin ein berliner; ich liebe dich; if you can dream it you can do it
imagine all the people; in god we trust; in the name of the father
in the beginning god created; in the end linkin park; in vino veritas; in west philadelphia
incorrect password; indiana jones; iron man iron man; it was a dark and stormy night
it was the best of times; its a wonderful life; its raining men; its time to go; jai shree ram
jai shri krishna; jesus christ; jesus is king; jesus is lord; jesus is my lord
jesus is my savior; jesus loves me; jesus loves you; jesus saves; jingle bells jingle bells
john three sixteen; jurassic park; just do it; just do it nike; keep calm and carry on
keep it simple stupid; king of the hill; knights who say ni; knock on heavens door; knowledge is power
know thyself; la vida es bella; league of legends; learn to fly; led zeppelin; let it be
let it go let it go; let me in; let me in please; let me in now; let sleeping dogs lie
let the games begin; let there be light; let there be rock; life goes on; life is a highway
life is beautiful; life is good; life is like a box of chocolates; life is short
life is what happens; like a rolling stone; like a virgin; linkin park; little red riding hood
live and let die; live and let live; live free or die; live laugh love; live long and prosper
live love laugh; livin on a prayer; liverpool football club; look on the bright side
lord of the rings; los angeles lakers; love conquers all; love is all you need; love is blind
love is in the air; love live laugh; love me like you do; love me tender; love of my life
love you forever; love you lots; luke i am your father; make america great again
make love not war; make my day; manchester city; manchester united; mary had a little lamb
master of puppets; master password; may the force be with you; may the fourth be with you
me myself and i; memento mori; merry christmas; metal gear solid; microsoft windows
money makes the world go round; more than a feeling; more than words; mother nature
my dog has fleas; my favorite things; my first password; my heart will go on; my little pony
my lovely family; my name is; my name is inigo montoya; my name is nobody; my new password
my password; my password is; my password is password; my password is secret; my precious ring
my secret password; my super secret password; my voice is my passport; need for speed
never ending story; never give up; never gonna give you up; never gonna let you down
never let me go; never let you go; never say never; never say never again; new password
new york city; new york giants; new york yankees; nineteen eighty four; no fate but what we make
no more passwords; no pain no gain; no password; no risk no fun; no woman no cry
nobody expects the spanish inquisition; nobody puts baby in a corner; nothing else matters
now i lay me down to sleep; now is the time; oh my god; oh my goodness; oh say can you see
om namah shivaya; once upon a time; one day at a time; one direction; one for all all for one
one love one heart; one ring to rule them all; one small step for man; one two three four
one two three four five; one two three four five six; one two three four five six seven
open sesame; open the door; open the pod bay doors hal; open up the gates; our father who art in heaven
out of sight out of mind; over the rainbow; paint it black; paradise city; pass word
pass the word; password; password for me; password is; password is password
password password password; passwords are hard; passwords suck; peace and love
pearl jam ten; philadelphia eagles; pink floyd; pink floyd the wall; pirates of the caribbean
pittsburgh steelers; please let me in; pokemon go; por que no los dos; power to the people
practice makes perfect; praise the lord; pride and prejudice; psalm twenty three; purple rain prince
queen of hearts; quoth the raven nevermore; rage against the machine; rainbow dash
raindrops on roses; raining cats and dogs; real madrid; red hot chili peppers
remember me; remember the alamo; remember the titans; resident evil; resistance is futile
rick and morty; ring around the rosie; rock and roll; rock you like a hurricane; rocky mountain high
rolling in the deep; rolling stones; romeo and juliet; roses are red; roses are red violets are blue
rosebud rosebud; row row row your boat; run forrest run; run to the hills; san francisco
san francisco giants; save the planet; save the world; say hello to my little friend
scooby dooby doo; seattle seahawks; secret password; secret santa; semper fidelis
send in the clowns; seven nation army; sex drugs and rock n roll; sex on the beach
shake it off; shalom aleichem; she sells seashells; show me the money; shut up and dance
silence is golden; silent night holy night; simple password; singing in the rain
six feet under; sleeping beauty; slip of the tongue; smells like teen spirit; smile and wave boys
smoke on the water; snow white and the seven dwarfs; so far so good; somewhere over the rainbow
sound of silence; south park; space the final frontier; speak friend and enter; spider man spider man
sponge bob square pants; spongebob squarepants; square pants; stairway to heaven
stand by me; star spangled banner; star trek; star wars; star wars star wars; stayin alive
strawberry fields forever; street fighter; strong password; summer of sixty nine; super mario
super mario brothers; super secret; super secret password; super strong password; superman superman
surf and turf; survival of the fittest; sweet child of mine; sweet child o mine; sweet dreams
sweet dreams are made of this; sweet home alabama; sympathy for the devil; take a walk on the wild side
take it easy; take me home country roads; take me to church; take me to your leader; talk to the hand
teenage mutant ninja turtles; temp password; temporary password; test password; test test test test
thank you; thank you god; thank you jesus; thank you so much; thank you very much; that is the question
the answer is forty two; the beatles; the best is yet to come; the best of the best
the big bang theory; the cake is a lie; the cat in the hat; the chosen one; the circle of life
the dark knight; the dark knight rises; the dark side; the early bird gets the worm; the end is near
the end of the world; the fast and the furious; the final countdown; the force is strong
the force is with you; the good the bad and the ugly; the grateful dead; the great escape
the great gatsby; the greatest showman; the hills are alive; the hobbit; the hunger games; the incredible hulk
the itsy bitsy spider; the joker; the legend of zelda; the lion king; the lion sleeps tonight
the little mermaid; the lord is my shepherd; the lord of the rings; the man who sold the world
the matrix has you; the meaning of life; the north remembers; the one and only; the password
the password is; the password is password; the phantom of the opera; the power of love
the princess bride; the quick brown fox; the quick brown fox jumps; the quick brown fox jumped over the lazy dog
the quick brown fox jumps over the lazy dog; the rain in spain; the return of the king
the rolling stones; the secret garden; the shawshank redemption; the show must go on; the simpsons
the sky is blue; the sky is the limit; the sound of music; the sound of silence; the spice must flow
the sun also rises; the thing that should not be; the time is now; the truth is out there
the ultimate warrior; the undertaker; the walking dead; the way you make me feel; the who the who
the wizard of oz; the world is mine; the world is not enough; the x files; there and back again
there can be only one; there is no place like home; there is no spoon; theres no place like home
third times the charm; this is a password; this is a secret; this is a test; this is awesome
this is it; this is me; this is my account; this is my life; this is my new password
this is my password; this is my secret password; this is not a password; this is not my password
this is sparta; this is the password; this is the way; this is the way the world ends
this password is secure; this too shall pass; three blind mice; thunder thunder thunder
thunderbirds are go; till death do us part; time after time; time flies when youre having fun
time is money; to be or not to be; to be or not to be that is the question; to infinity and beyond
to kill a mockingbird; tomorrow is another day; tomorrow never dies; too fast too furious
tooth fairy; top secret; top secret password; total eclipse of the heart; toy story
trick or treat; trinity matrix neo; true love; true love waits; trust in god; trust in jesus
trust no one; trust nobody; trustno1 trustno1; twinkle twinkle little star; two birds one stone
under the bridge; under the sea; united states of america; unforgettable fire; united we stand
uptown funk; use the force luke; user password; valar morghulis; veni vidi vici; very secret password
viva la vida; viva las vegas; wake me up before you go go; walk like an egyptian; walk this way
walk the line; walking on sunshine; walking in the air; walt disney world; war and peace; we are family
we are legion; we are the champions; we are the one; we are the world; we will rock you; welcome home
welcome password; welcome to hell; welcome to my life; welcome to the jungle; welcome to the real world
west ham united; what a wonderful world; what does the fox say; what doesnt kill you makes you stronger
what goes around comes around; what is love; what is love baby dont hurt me; what is my password
what is the matrix; what is the password; what is this; what is your name; whats my age again
whats my password; whats the password; whats up doc; whatever it takes; when in rome
when life gives you lemons; when pigs fly; where is my mind; where the wild things are
where theres a will theres a way; whiskey in the jar; white christmas; who let the dogs out
who wants to live forever; who you gonna call; whole lotta love; why so serious; winnie the pooh
winter is coming; wish you were here; with great power comes great responsibility
with or without you; wonderful world; wonder woman; world of tanks; world of warcraft; world peace
world war two; wubba lubba dub dub; yabba dabba doo; yesterday all my troubles; yippee ki yay
you are beautiful; you are my love; you are my sunshine; you are my sunshine my only sunshine
you are my world; you are the best; you are the one; you can do it; you cant handle the truth
you cant touch this; you know my name; you know nothing jon snow; you know who i am; you light up my life
you only live once; you only live twice; you raise me up; you rock my world; you shall not pass
you talking to me; youll never walk alone; you will never walk alone; your password; youre the one that i want
""".replace("\n", ";").split(";")

KEYBOARDS = [
    ["1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm"],
    ["1234567890", "qwertzuiop", "asdfghjkl", "yxcvbnm"],
    ["1234567890", "azertyuiop", "qsdfghjklm", "wxcvbn"],
]
SHIFTED = str.maketrans("1234567890", "!@#$%^&*()")
LEET = [str.maketrans(*pair) for pair in (("ao", "@0"), ("aeos", "430$"), ("aeio", "4310"), ("aeios", "@310$"))]


def real(django, zxcvbn):
    """The two published lists, most used first."""
    with zipfile.ZipFile(django) as wheel:
        packed = wheel.read("django/contrib/auth/common-passwords.txt.gz")
    first = gzip.decompress(packed).decode().splitlines()
    with tarfile.open(zxcvbn) as package:
        second = json.load(package.extractfile("package/src/passwords.json"))
    ranked = {}
    for rank in range(max(len(first), len(second))):
        for listed in (first, second):
            if rank < len(listed):
                ranked.setdefault(listed[rank].lower())
    return list(ranked)


def runs(alphabet):
    """Stretches of an endless row, in both directions: 345678901234567, onmlkjihgfedcba."""
    for row in (alphabet, alphabet[::-1]):
        endless = row * 4
        for start in range(len(row)):
            for length in LENGTHS:
                yield endless[start : start + length]


def walks():
    """What the fingers find: along the rows, down the columns, and the same with shift."""
    for keyboard in KEYBOARDS:
        for rows in (keyboard, keyboard[1:], keyboard[1:3], keyboard[::-1], keyboard[:2]):
            yield from runs("".join(rows))
            yield from runs("".join(row[::-1] for row in rows))
        for pair in zip(keyboard, keyboard[1:]):
            yield from runs("".join(a + b for a, b in zip(*pair)))
            yield from runs("".join(b + a for a, b in zip(*pair)))
        columns = ["".join(keys) for keys in zip(*keyboard)]
        shifted = [column.translate(SHIFTED) for column in columns]
        back = [column[::-1] for column in columns]
        snake = [column[::-1] if index % 2 else column for index, column in enumerate(columns)]
        mirrored = [column if index % 2 else column[::-1] for index, column in enumerate(columns)]
        for order in (columns, shifted, back, snake, mirrored):
            yield from runs("".join(order))
            yield from runs("".join(reversed(order)))
        for first, second in ((columns, shifted), (shifted, columns)):
            for start in range(len(columns) - 1):
                yield "".join(first[start : start + 2] + second[start : start + 2])
                yield "".join(first[start : start + 2] + second[start : start + 2]) + first[start]


def stretched(words):
    """A common word made long enough: counted up, padded, repeated with a tail."""
    for word in words:
        for length in (15, 16):
            missing = length - len(word)
            if missing <= 0:
                continue
            digits = ("1234567890" * 2)[:missing]
            yield word + digits
            yield digits + word
            yield word + ("0123456789" * 2)[:missing]
            yield word + ("9876543210" * 2)[:missing]
            for pad in "01!.*":
                yield word + pad * missing
            yield word.ljust(length - 1, "0") + "1"
        for run in ("123", "1234", "12345", "123456", "1234567", "12345678", "123456789", "1234567890"):
            yield word + run
            yield word + run + "!"
            yield word + "@" + run
            yield word + "_" + run
            yield run + word
            yield run + word + run
        repeated = word * (-(-14 // len(word)))
        for tail in ("1", "12", "123", "1234", "!", "!!", "01", "2"):
            yield repeated + tail


def dated():
    """Seasons, months and days with a year."""
    words = """spring summer autumn winter january february march april may june july august
        september october november december monday tuesday wednesday thursday friday saturday
        sunday password welcome company admin""".split()
    for word in words:
        for year in range(2000, 2036):
            for tail in ("", "!", "!!", "123", "1234", "123!"):
                yield f"{word}{year}{tail}"
            yield f"{word}@{year}"
            yield f"{word}-{year}"


def phrases():
    for phrase in PHRASES:
        words = phrase.split()
        for joined in (joint.join(words) for joint in ("", " ", "-", "_", ".")):
            for tail in ("", "1", "123", "!"):
                yield joined + tail


def derived(ranked):
    words = [word for word in ranked if word.isascii() and word.isalpha() and 4 <= len(word) <= 13]
    leet = [word.translate(table) for word in words[:15] for table in LEET]
    mixed = [word for word in ranked[:120] if not word.isalpha() and 5 <= len(word) <= 13]
    yield from stretched(words[:120] + leet + mixed)
    yield from (first + second for first in words[:70] for second in words[:70])
    yield from runs("0123456789")
    yield from runs("1234567890")
    yield from runs("abcdefghijklmnopqrstuvwxyz")
    yield from ("abcdefghijklmnopqrstuvwxyz"[:length] for length in range(15, 27))
    yield from walks()
    yield from dated()
    yield from phrases()


def main():
    django, zxcvbn = sys.argv[1:]
    ranked = real(django, zxcvbn)
    # Up to four characters are refused by rule, alone and repeated.
    entries = {entry for entry in ranked if len(entry) > 4}
    # A derived entry under eight characters can be nobody's password.
    entries |= {entry.lower() for entry in derived(ranked) if 8 <= len(entry) <= 64}
    # What is not plain text in one of the lists is an accident of its encoding.
    entries = {entry for entry in entries if entry.isascii() and entry.isprintable() and entry == entry.strip()}
    text = "\n".join(sorted(entries)).encode()
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = deflate.compress(text) + deflate.flush()
    pathlib.Path(__file__).with_name("common-passwords.zz").write_bytes(packed)
    long = sum(len(entry) >= 15 for entry in entries)
    print(f"{len(entries)} entries, {long} of them of 15 characters or more, {len(text)} bytes, {len(packed)} packed")


if __name__ == "__main__":
    main()
